"""How much the cache folder may take: as the user says, else by the size of its disk."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from farm.errors import UsageError
from farm.load.limits import VARIABLE, cache_limit

if TYPE_CHECKING:
    from pathlib import Path

GIB = 2**30


def test_it_is_a_third_of_the_disk_also_of_a_folder_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    third = shutil.disk_usage(tmp_path).total // 3
    assert cache_limit(tmp_path / "not/there").total_bytes == max(third, 10 * GIB)


def test_the_users_word_counts_and_is_halved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "3 GiB")
    limit = cache_limit(tmp_path)
    assert (limit.engine_bytes, limit.files_bytes) == (3 * GIB // 2, 3 * GIB // 2)


@pytest.mark.parametrize("text", ["0", "0 GiB", "-1 GiB", "lots", "5", "1e9 GiB", " "])
def test_what_is_no_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(UsageError, match=VARIABLE):
        cache_limit(tmp_path)
