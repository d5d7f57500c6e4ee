# escape=`
FROM a AS B
