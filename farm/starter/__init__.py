"""The beginnings of a project: a recipe that builds, its lock, and the files around it."""
