"""Rules for Dockerfiles: each looks at a file, and at facts about its context if there are any, and yields findings."""
