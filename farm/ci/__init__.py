"""Units handed out to the jobs of a CI service: what is missing, packed, as its files take it."""
