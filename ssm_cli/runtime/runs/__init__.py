"""What `Run` effects ask for, done beside the node: tasks of an event loop, and processes."""
