"""Frozen child specs and supervisor flags, and how tree files become them."""
