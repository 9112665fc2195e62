"""Where farm keeps what can be made again."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "FARM_CACHE_DIR"
TAG = "CACHEDIR.TAG"
_SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55"
_TAG_TEXT = f"""{_SIGNATURE}
# This folder is the cache of farm (https://bford.info/cachedir/).
"""
_OWN = {TAG, ".in-use", "bases", "engine", "reproduced", "store", "tmp"}


def cache_folder() -> Path:
    """``$FARM_CACHE_DIR``, or the user's cache folder as the platform defines it."""
    chosen = os.environ.get(VARIABLE)
    return Path(chosen).absolute() if chosen else usual_cache_folder()


def usual_cache_folder() -> Path:
    """The user's cache folder as the platform defines it."""
    from platformdirs import user_cache_path  # not needed where the variable is set

    return user_cache_path("farm", appauthor=False)


def mark_cache(cache: Path) -> None:
    """Make the cache folder, with the tag by which backups pass it over and cleaning knows it.

    A folder that holds anything of somebody else's is not marked: a variable
    that names a home folder by mistake must not make its content disposable.

    Raises:
        OSError: it cannot be made or written.
    """
    tag = cache / TAG
    if tag.exists():
        return
    cache.mkdir(parents=True, exist_ok=True)
    if {path.name for path in cache.iterdir()} <= _OWN:
        tag.write_text(_TAG_TEXT, encoding="utf-8")


def is_marked(cache: Path) -> bool:
    """Whether a folder was marked as farm's cache."""
    try:
        return (cache / TAG).read_text(encoding="utf-8", errors="replace").startswith(_SIGNATURE)
    except OSError:
        return False
