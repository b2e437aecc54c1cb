"""Data folders: which one is a tree's, and the commands of `ssm data`."""
