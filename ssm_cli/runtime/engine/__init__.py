"""The engine: the state of a node and the functions that move it. Nothing here is public API."""
