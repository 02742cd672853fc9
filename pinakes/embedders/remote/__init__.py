"""Models behind an API: one layer of calls for all providers."""
