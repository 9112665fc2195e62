"""Engines: the user's Docker, the private one, and the bases that builds start from."""
