"""Pinakes makes a picture collection searchable by words and by pictures."""

__version__ = "0.1.0"
