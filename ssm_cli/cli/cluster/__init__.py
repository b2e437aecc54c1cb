"""The commands about a cluster: its nodes, and what runs on them."""
