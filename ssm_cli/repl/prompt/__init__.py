"""The prompt's line: what it says so far, how it may go on, and what was typed before."""
