"""What is kept by content: blobs by their digest, results by their identity."""
