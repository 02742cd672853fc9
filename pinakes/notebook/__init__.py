"""Collections and results in Python and in notebooks."""
