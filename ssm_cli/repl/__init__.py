"""The prompt beside the live tree: completion, history, the screen, and a plain mode."""
