"""Build a plan: schedule its units, build each on an engine, emit events."""
