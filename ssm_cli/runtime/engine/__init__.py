"""The engine: the state of a node and its mechanisms. Nothing here is public API."""
