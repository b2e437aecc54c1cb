"""The faces of a session beside the full screen, and what is shown before it opens."""
