"""Rules for Dockerfiles: each looks at a file (and, if they are given, at facts about its context) and yields findings."""
