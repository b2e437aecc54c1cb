"""Remote children as a node sees them; what is between is behind a port."""
