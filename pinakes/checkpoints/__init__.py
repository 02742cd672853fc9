"""Where embeddings are kept as soon as they are paid for."""
