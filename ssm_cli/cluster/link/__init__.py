"""The link: the process beside a tree that starts, watches, stops and calls its remote children."""
