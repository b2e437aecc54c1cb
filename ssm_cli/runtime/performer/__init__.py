"""The performer: what supervision decides, and what people ask for, is carried out here."""
