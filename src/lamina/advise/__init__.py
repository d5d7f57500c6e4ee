"""What the order of a Dockerfile has cost over a repository's history, and which order would have cost less. Pure."""
