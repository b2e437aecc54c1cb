"""Recording: the tree at any record that is remembered, as a world of its own."""
