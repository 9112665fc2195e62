"""What goes into the bundle of a build: all that it was made of which nobody else may have."""

from __future__ import annotations

import hashlib
import json
import platform
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import farm
from farm.debian import bases
from farm.errors import FarmError
from farm.events import Notice
from farm.host.files import sha256_of
from farm.host.machine import this_machine
from farm.host.urls import redact, without_credentials
from farm.model.codec import to_json
from farm.model.unit import RootfsBase
from farm.source.inputs import inputs_of
from farm.source.kinds import GitCommit, Tree, UrlFile
from farm.store.bundle import (
    FORMAT,
    LOGS,
    MANIFEST,
    NAME,
    RECORD,
    UNIT,
    Blob,
    Contents,
    Needed,
    Surroundings,
    plain,
    redacted,
    redacted_log,
    write_bundle,
)
from farm.store.record import read_record

if TYPE_CHECKING:
    from farm.events import Sink
    from farm.model.crates import CrateSet
    from farm.model.unit import ImageBase, Source, Unit
    from farm.run.attempt import Work
    from farm.source.kinds import Input
    from farm.store.bundle import Ended, Parts

MOST_BYTES = 256 << 20
"""Of what goes into a bundle by itself, so that a failure costs no minutes and no gigabytes.

The largest files (the wheel of torch, say) are left out then; ``farm bundle`` puts them in.
"""


def keep_bundle(work: Work, ended: Ended, folder: Path, cache: Path, sink: Sink) -> None:
    """Leave the bundle of a build in ``folder``; what hinders that is told, and ends nothing."""
    try:
        _keep(work, ended, folder, cache)
    except Exception as error:  # noqa: BLE001 - what became of the build is what counts
        why = error.message if isinstance(error, FarmError) else f"{type(error).__name__}: {error}"
        sink(Notice(text=f"no bundle was kept: {why}", unit=work.identified.unit.label))


def _keep(work: Work, ended: Ended, folder: Path, cache: Path) -> None:
    identified = work.identified
    files = _within(MOST_BYTES, own_files(work))
    sums = {digest: _sha256(content) for digest, content in files.items()}
    machine = this_machine()
    contents = Contents(
        format=FORMAT,
        unit=identified.unit.label,
        identity=identified.identity,
        ended=replace(ended, message=plain(ended.message), attempt=_attempt(ended, folder)),
        surroundings=Surroundings(
            farm=farm.__version__,
            engine=work.engine.name,
            kernel=platform.release(),
            cores=machine.cores,
            memory_bytes=machine.memory_bytes,
            max_jobs=work.jobs.max_jobs,
        ),
        blobs=tuple(Blob(digest=digest, sha256=sums[digest]) for digest in sorted(sums)),
        needed=tuple(Needed(filename=e.filename, sha256=e.sha256) for e in work.needed),
    )
    parts: Parts = {f"blobs/{sums[digest]}": content for digest, content in files.items()}
    parts[MANIFEST] = identified.manifest.text.encode()
    parts[UNIT] = to_json(portable(identified.unit, cache, identified.manifest.base.digest))
    with tempfile.TemporaryDirectory(dir=work.scratch, prefix="bundle-") as name:
        parts |= _told(folder, Path(name))
        write_bundle(folder / NAME, contents, parts)


def _attempt(ended: Ended, folder: Path) -> int:
    """The attempt that ended so: another one than was asked for, where a stale failure was met."""
    record = read_record(folder)
    return record.attempt if record else ended.attempt


def _told(folder: Path, scratch: Path) -> Parts:
    """What a build told of itself, without the secrets of URLs."""
    parts: Parts = {}
    record = folder / RECORD
    if record.exists():
        told = redacted(json.loads(record.read_text(encoding="utf-8")))
        text = json.dumps(told, indent=2, sort_keys=True, ensure_ascii=False)
        parts[RECORD] = f"{text}\n".encode()
    for name in LOGS:
        if (folder / name).exists():
            parts[f"logs/{name}"] = redacted_log(folder / name, scratch / name)
    return parts


def own_files(work: Work) -> dict[str, bytes | Path]:
    """Files of the context, by their digests there, that cannot be had by hash from the public."""
    public = {each.digest for each in inputs_of(work.identified.unit) if _is_public(each)}
    files: dict[str, bytes | Path] = {}
    for entry in work.identified.manifest.context:
        if entry.origin == "text":
            files[entry.digest] = entry.text.encode()
        elif entry.origin == "path" and entry.path is not None:
            files[entry.digest] = entry.path
        elif entry.digest not in public:
            files[entry.digest] = work.staged[entry.digest]
    return files


def _is_public(wanted: Input) -> bool:
    """Whether others can have it: whatever needs a password or is of this machine is not."""
    match wanted:
        case Tree():
            return False
        case UrlFile(urls=urls):
            return all(redact(url) == url for url in urls)
        case GitCommit(url=url):
            return url.startswith("https://") and redact(url) == url
    return True


def _within(most_bytes: int, files: dict[str, bytes | Path]) -> dict[str, bytes | Path]:
    """The smallest of these files, as many as fit."""
    kept: dict[str, bytes | Path] = {}
    for digest, content in sorted(files.items(), key=lambda item: (_size(item[1]), item[0])):
        most_bytes -= _size(content)
        if most_bytes < 0:
            break
        kept[digest] = content
    return kept


def _size(content: bytes | Path) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content)


def _sha256(content: bytes | Path) -> str:
    if isinstance(content, Path):
        return sha256_of(content)
    return hashlib.sha256(content).hexdigest()


def portable(unit: Unit, cache: Path, base_digest: str) -> Unit:
    """A unit with nothing of this machine: exact packages, no folders, no secrets of URLs.

    ``base_digest`` is that of the base that it was built on.
    """
    test = unit.smoke_test
    return replace(
        unit,
        base=_exact(unit.base, cache, base_digest),
        smoke_test=test and replace(test, base=_exact(test.base, cache)),
        source=_named(unit.source),
        sources=tuple(map(_named, unit.sources)),
        patches=tuple(replace(each, path=Path(each.path.name)) for each in unit.patches),
        lockstep=tuple(
            replace(each, place=replace(each.place, file=Path(each.place.file).name))
            for each in unit.lockstep
        ),
        crates=tuple(map(_without_passwords, unit.crates)),
    )


def _exact(base: RootfsBase | ImageBase, cache: Path, digest: str = "") -> RootfsBase | ImageBase:
    """A base with the packages that it had, whoever named them."""
    if not isinstance(base, RootfsBase):
        return base
    for locked in (False, True):
        found = bases.known(base, cache, locked=locked)
        if found and digest in {"", found.digest}:
            return replace(base, locked=found.packages)
    return base


def _named(source: Source) -> Source:
    path = Path(source.path.name) if source.path else None
    return replace(source, url=redact(source.url), path=path)


def _without_passwords(crates: CrateSet) -> CrateSet:
    if crates.lock is None:
        return crates
    pins = tuple(
        replace(each, git=without_credentials(each.git)) if each.git else each
        for each in crates.lock.crates
    )
    return replace(crates, lock=replace(crates.lock, crates=pins))
