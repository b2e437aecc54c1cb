"""What follows from a callback: its outcome is carried out, or its failure dealt with."""
