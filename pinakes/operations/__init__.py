"""What an operator does with a collection: check it, look at it, maintain it, take data in and out."""
