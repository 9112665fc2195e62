"""Everything a build needs, brought here before the build, verified, kept by content."""
