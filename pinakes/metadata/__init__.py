"""What is known about the pictures besides their pixels, and its join with the listing."""
