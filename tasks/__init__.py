"""Prefect tasks: the units that are tagged, timed and shown; thin, over `pinakes`."""
