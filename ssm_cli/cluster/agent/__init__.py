"""The agent of a node: hosts subtrees, one process each, and says so to the cluster."""
