"""History: questions to what a node remembers, and what is found by stepping it again."""
