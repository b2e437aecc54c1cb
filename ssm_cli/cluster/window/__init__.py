"""A window on a whole cluster: its nodes and subtrees as they stand, and what happens there."""
