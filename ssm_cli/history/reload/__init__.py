"""Changing code while it runs: rehearsed on what is remembered, done between two inputs, undone."""
