"""What a wheel holds (facts), and whether that is what was asked for (policy)."""
