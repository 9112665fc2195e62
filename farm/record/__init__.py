"""What is kept: runs with their logs, and results with a record of how they were made."""
