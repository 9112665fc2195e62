"""The machine: programs, files, locks, network settings, what it has to offer."""
