"""From a build back to what went into it: what differs, and which difference breaks it."""
