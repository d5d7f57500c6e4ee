"""What the engine asks of the world: protocols of at most six methods, and the values that pass through them.

Adapters (`store`, `context`, `runtime`, `image`, `registry`) implement these; `workshop/wire.py` alone joins them to
the engine; `testing` ships fakes; `tests/contract` holds one suite a port that fake and real both pass.
"""
