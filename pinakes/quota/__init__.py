"""One rate limit for all processes and machines, and the embedders that keep to it."""
