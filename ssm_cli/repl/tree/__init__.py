"""The tree as rows: which are there, and what they say."""
