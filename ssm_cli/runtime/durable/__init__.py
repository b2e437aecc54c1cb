"""What outlives the process: which records a node keeps, and how a tree comes back from them."""
