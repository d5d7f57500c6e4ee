"""The cache that machines share, as a build and the commands use it."""
