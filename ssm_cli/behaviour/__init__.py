"""The worker contract: what a worker is, what it may answer, and why it ends."""
