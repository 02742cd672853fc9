"""Google Cloud Storage: its addresses and its client."""
