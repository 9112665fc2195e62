"""From a unit to the Dockerfile, the manifest of its context, and its identity: pure."""
