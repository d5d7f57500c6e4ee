"""An open store with all that works on it: the one room that joins adapters with the engine."""
