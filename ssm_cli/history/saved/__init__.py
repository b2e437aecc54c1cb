"""The past in a file: what a node remembers, written by one process and opened by another."""
