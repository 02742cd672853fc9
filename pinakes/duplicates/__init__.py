"""Which pictures are the same: copies, details and turned prints, told apart by looking at the pictures."""
