"""PostgreSQL: all SQL lives here."""
