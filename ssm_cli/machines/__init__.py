"""Workers that ship: small, whole examples to copy from."""
