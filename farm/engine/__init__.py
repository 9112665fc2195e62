"""Engines: your Docker, the private one, and what is asked of either."""
