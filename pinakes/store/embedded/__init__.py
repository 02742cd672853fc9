"""The embedded PostgreSQL: it is found, started, shared and stopped here."""
