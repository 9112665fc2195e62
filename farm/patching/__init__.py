"""Try patches and edits on staged sources, and make new ones: no engine, no build."""
