"""One run whose batches several processes or machines embed."""
