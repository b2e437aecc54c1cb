"""How a tree comes back: the records stepped again, from the saved states on."""
