"""Files in, values out: YAML with positions, models, and what a project holds."""
