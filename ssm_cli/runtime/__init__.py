"""The node: one queue, one loop, and everything that happens in it."""
