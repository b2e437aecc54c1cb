"""The routes: the table of them, what each asks of the node, and the document about them."""
