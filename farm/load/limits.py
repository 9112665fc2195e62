"""How much the cache folder may take."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import UsageError
from farm.host.files import existing

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE = "FARM_CACHE_LIMIT"
_SHARE = 3
_LEAST_BYTES = 10 * 2**30
"""What a toolbox, a few bases and the layers of one heavy package take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheLimit:
    """Bytes that the cache folder may take; one half is for the private engine's build cache.

    The other is for sources, bases and kept results.
    """

    total_bytes: int

    @property
    def engine_bytes(self) -> int:
        """What the engine's build cache may take."""
        return self.total_bytes // 2

    @property
    def files_bytes(self) -> int:
        """What all else may take."""
        return self.total_bytes - self.engine_bytes


def cache_limit(cache: Path) -> CacheLimit:
    """What the user says, else a third of the disk that the folder is on, but at least 10 GiB.

    Raises:
        UsageError: the variable holds no size.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        disk = shutil.disk_usage(existing(cache)).total
        return CacheLimit(total_bytes=max(disk // _SHARE, _LEAST_BYTES))
    from farm.model.strict import parse_size  # with pydantic, which an engine does not need

    try:
        size = parse_size(text)
    except ValueError as error:
        raise UsageError(f"{VARIABLE}: {error}", hint="as in '50 GiB'") from error
    if size <= 0:
        raise UsageError(f"{VARIABLE}: a limit must be more than 0", hint="as in '50 GiB'")
    return CacheLimit(total_bytes=size)
