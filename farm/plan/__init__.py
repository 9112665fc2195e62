"""From what is asked for to the units that will be built: pure functions of values."""
