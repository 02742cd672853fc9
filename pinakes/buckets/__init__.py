"""Objects in buckets: Google Cloud Storage, Amazon S3 and Azure Blob Storage behind one protocol."""
