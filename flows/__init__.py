"""Prefect flows: each reads top to bottom as its stages."""
