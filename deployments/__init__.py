"""What sets up a Prefect server for Pinakes: the settings it runs with, work pool, limit and automation."""
