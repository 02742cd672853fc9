"""Metadata of the pictures: reading it from tables, and joining it with the listing."""
