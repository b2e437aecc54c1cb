"""Looking at a tree, a part at a time."""
