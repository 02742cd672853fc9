"""Vectors that were paid for elsewhere: read from files and tables, matched with a listing, never asked for again."""
