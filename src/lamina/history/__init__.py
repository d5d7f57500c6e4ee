"""Adapter: reads a git repository's log into the values that `advise` replays."""
