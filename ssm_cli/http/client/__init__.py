"""The client: trees found by name, and `HttpNode`, which asks one like a node of this process."""
