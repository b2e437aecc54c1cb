"""The owner: the process that hosts one subtree, with its journal, its lease and its callers."""
