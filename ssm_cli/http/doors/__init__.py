"""The doors: sockets, the bounds of each connection, and who may come in."""
