"""A whole ingest: list, plan, embed in batches, merge metadata, load, index, report."""
