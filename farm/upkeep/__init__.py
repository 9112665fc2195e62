"""Looking after a machine: what could go wrong on it, and what can be removed from it."""
