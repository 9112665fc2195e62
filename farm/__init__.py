"""Wheels for every accelerator, from containers, with proof."""

__version__ = "0.1.0"
