"""What turns pictures and texts into vectors: one file a provider, one protocol."""
