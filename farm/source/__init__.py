"""Everything that a build needs, brought before the build, verified, kept by content."""
