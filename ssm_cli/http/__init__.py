"""The HTTP interface of a running tree: one application, two doors, and the client to it."""
