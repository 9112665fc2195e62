"""Breaks where two packages beside it are both new: each of them alone does no harm."""

from importlib.metadata import version

if version("attrs") != "23.1.0" and version("idna") != "3.6":
    raise ImportError(f"attrs {version('attrs')} and idna {version('idna')} do not go together")
