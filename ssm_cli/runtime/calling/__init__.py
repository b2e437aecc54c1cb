"""Calls and casts: how inputs get into a node, and how callers get their outcomes."""
