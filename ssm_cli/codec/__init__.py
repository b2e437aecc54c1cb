"""Codecs: bytes to inputs and outputs to bytes."""
