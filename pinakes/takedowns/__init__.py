"""Pictures that were taken down for good, and how every collection is kept to it."""
