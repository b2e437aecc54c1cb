"""What is written, and how: records, saved states, and the bytes they become."""
