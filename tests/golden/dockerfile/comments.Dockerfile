# top

# about a
# check=skip=StageNameCasing,FromAsCasing
FROM a
# cut off
#
  # indented
RUN b
# end
