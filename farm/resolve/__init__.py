"""What gets pinned: requirements, crates and bases, from what sources say to locks."""
