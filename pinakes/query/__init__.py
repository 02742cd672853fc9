"""What can be asked of a collection, as plain values."""
