"""Google BigQuery: its addresses and its client."""
