"""A run: tasks over resources, each unit on its way from inputs to a result, logs and record."""
