"""Where pictures are listed and read: one file a kind of source, one protocol."""
