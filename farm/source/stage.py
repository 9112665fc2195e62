"""Bring everything that a build needs, several at once, and name all that cannot be had.

What is in the store already costs no network, and not even the import of the
libraries for it.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import CancelledError, FarmError, FetchError, IntegrityError, StorageError
from farm.host.urls import redact
from farm.source.places import Places, absent
from farm.source.tree import pack_tree
from farm.source.wants import CrateWant, FileWant, GitWant, SdistWant, TreeWant, Want, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.events import Sink
    from farm.source.fetch import Fetcher
    from farm.source.index import IndexFile, PackageIndex
    from farm.source.wants import IndexFileWant
    from farm.store.blobs import Store

_POLL_S = 0.2
_LAST_WORDS_S = 0.5
_FEW = 3


def stage(  # noqa: PLR0913 - independent switches, keyword-only
    wants: Sequence[Want],
    store: Store,
    sink: Sink,
    *,
    places: Places | None = None,
    workers: int = 4,
    verify: bool = False,
    cancel: threading.Event | None = None,
) -> dict[Want, str]:
    """Bring all wants into the store; returns the sha256 of each one's file there.

    ``places`` says where they may come from.  With ``verify`` what the store
    has is rehashed, and fetched again if it was corrupted.  ``cancel`` (or
    Ctrl-C) ends it within a second; what has come is kept for the next time.

    Raises:
        FetchError, IntegrityError, StorageError: the one failure as it is; of
            several a summary whose details name each want and its reason.
        CancelledError: ``cancel`` was set.
    """
    found, failures = stage_each(
        wants, store, sink, places=places, workers=workers, verify=verify, cancel=cancel
    )
    if failures:
        raise summary(failures)
    return found


def stage_each(  # noqa: PLR0913 - independent switches, keyword-only
    wants: Sequence[Want],
    store: Store,
    sink: Sink,
    *,
    places: Places | None = None,
    workers: int = 4,
    verify: bool = False,
    cancel: threading.Event | None = None,
) -> tuple[dict[Want, str], list[tuple[Want, FarmError]]]:
    """Like `stage`, but what could not be brought is returned, in the order of the wants."""
    places = places or Places()
    order = {want: number for number, want in enumerate(dict.fromkeys(wants))}
    found = {want: present(want, store, verify=verify) for want in order}
    # A mirror that is filled needs repositories, of which the store has only archives.
    missing = [
        want
        for want, sha256 in found.items()
        if sha256 is None or (places.keep and isinstance(want, GitWant))
    ]
    crew = _Crew(store, sink, cancel or threading.Event(), places)
    if missing:
        if not places.offline:
            store.sweep()
        found.update(crew.bring(missing, workers))
        found.update(crew.bring_crates(missing))
    lost = {want for want, _ in crew.failures}
    brought = {w: sha256 for w, sha256 in found.items() if sha256 is not None and w not in lost}
    for want in brought if places.keep else ():
        if places.keep and not isinstance(want, GitWant | TreeWant):
            places.keep.keep(want, store)
    return brought, sorted(crew.failures, key=lambda failure: order[failure[0]])


def present(want: Want, store: Store, *, verify: bool = False) -> str | None:
    """The sha256 of a want's file if the store has it; a folder is packed on the way.

    Raises:
        RecipeError: the folder holds links or devices.
        StorageError: the disk is full.
    """
    if isinstance(want, TreeWant):
        return pack_tree(want.path, store)
    known = store.alias(want.alias) if isinstance(want, GitWant) else want.sha256
    return known if known and store.get(known, verify=verify) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Result:
    want: Want
    sha256: str | None = None
    failure: BaseException | None = None


class _Crew:
    """Daemon threads: one that hangs in a connection cannot hold up the end of the process."""

    def __init__(self, store: Store, sink: Sink, cancel: threading.Event, places: Places) -> None:
        self._store = store
        self._sink = sink
        self._cancel = cancel
        self._places = places
        self._todo: queue.SimpleQueue[Want] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[_Result] = queue.SimpleQueue()
        self._tools = _Tools(store, sink, cancel, places)
        self.failures: list[tuple[Want, FarmError]] = []

    def bring(self, wants: Sequence[Want], workers: int) -> dict[Want, str]:
        """Bring all but crates; what failed is in ``failures``."""
        wants = [want for want in wants if not isinstance(want, CrateWant)]
        for want in wants:
            self._todo.put(want)
        threads = [
            threading.Thread(target=self._work, name=f"stage-{number}", daemon=True)
            for number in range(min(workers, len(wants)))
        ]
        for thread in threads:
            thread.start()
        try:
            return self._collect(len(wants))
        except (KeyboardInterrupt, CancelledError):
            # Children are ended, partial files stay.
            self._cancel.set()
            for thread in threads:
                thread.join(_LAST_WORDS_S / len(threads))
            raise

    def bring_crates(self, wants: Sequence[Want]) -> dict[Want, str]:
        """Bring crates, which one client fetches together; what failed is in ``failures``."""
        crates = [want for want in wants if isinstance(want, CrateWant)]
        if not crates:
            return {}
        from farm.source.crates import CrateFetcher

        fetcher = CrateFetcher(
            store=self._store, sink=self._sink, places=self._places, cancel=self._cancel
        )
        brought, failures = fetcher.bring(crates)
        self.failures += failures
        return dict(brought.items())

    def _collect(self, count: int) -> dict[Want, str]:
        """Wait for all; an error that nobody foresaw is raised when the others have ended."""
        brought: dict[Want, str] = {}
        unforeseen: list[BaseException] = []
        while len(brought) + len(self.failures) + len(unforeseen) < count:
            if self._cancel.is_set():
                break
            try:
                result = self._results.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if isinstance(result.failure, FarmError):
                self.failures.append((result.want, result.failure))
            elif result.failure is not None:
                unforeseen.append(result.failure)
            elif result.sha256 is not None:
                brought[result.want] = result.sha256
        if self._cancel.is_set():
            raise CancelledError("cancelled while fetching; what has come is kept")
        if unforeseen:
            raise unforeseen[0]
        return brought

    def _work(self) -> None:
        while not self._cancel.is_set():
            try:
                want = self._todo.get_nowait()
            except queue.Empty:
                return
            try:
                self._results.put(_Result(want=want, sha256=self._tools.bring(want)))
            except BaseException as error:  # noqa: BLE001 - raised again by the collecting thread
                self._results.put(_Result(want=want, failure=error))


class _Tools:
    """Index and fetcher, made when first needed; loading them takes a moment."""

    def __init__(self, store: Store, sink: Sink, cancel: threading.Event, places: Places) -> None:
        self._store = store
        self._sink = sink
        self._cancel = cancel
        self._places = places
        self._lock = threading.Lock()
        self._made: tuple[PackageIndex, Fetcher] | None = None

    def bring(self, want: Want) -> str:
        """Bring one want, no crate; returns the sha256 of its file."""
        if isinstance(want, CrateWant):
            raise TypeError("crates are brought together")
        if isinstance(want, TreeWant):
            return pack_tree(want.path, self._store)
        places = self._places
        if places.offline and not (places.mirror or places.keep):
            raise absent(described(want))
        if isinstance(want, GitWant):
            from farm.source.git import fetch_commit

            return fetch_commit(
                want,
                store=self._store,
                sink=self._sink,
                cancel=self._cancel,
                places=places,
            )
        found = places.mirror.bring(want, self._store) if places.mirror else None
        if found is None and places.offline:
            raise absent(described(want))
        return found or self._download(want)

    def _download(self, want: SdistWant | FileWant | IndexFileWant) -> str:
        from farm.source.fetch import Download

        index, fetcher = self._index_and_fetcher()
        if isinstance(want, FileWant):
            download = Download(url=want.url, sha256=want.sha256, task=want.label)
        else:
            file = _on_index(index, want)
            download = Download(
                url=file.url, sha256=want.sha256, task=file.filename, size=file.size
            )
        return fetcher.fetch(download)

    def _index_and_fetcher(self) -> tuple[PackageIndex, Fetcher]:
        with self._lock:
            if self._made is None:
                from farm.source.fetch import Fetcher
                from farm.source.index import PackageIndex

                index = PackageIndex()
                fetcher = Fetcher(
                    store=self._store,
                    sink=self._sink,
                    settings=index.settings,
                    cancel=self._cancel,
                )
                self._made = index, fetcher
            return self._made


def _on_index(index: PackageIndex, want: SdistWant | IndexFileWant) -> IndexFile:
    if isinstance(want, SdistWant):
        index.find_sdist(want.name, want.version)
        return index.find_file(want.name, want.version, sha256=want.sha256)
    return index.find_file(want.name, want.version, filename=want.filename, sha256=want.sha256)


def summary(failures: Sequence[tuple[Want, FarmError]]) -> FarmError:
    """The one failure, or one that names them all: the kind that all share, or FetchError."""
    if len({id(error) for _, error in failures}) == 1:  # crates are fetched together
        return failures[0][1]
    kinds = {type(error) for _, error in failures}
    # A full disk explains whatever else went wrong.
    kind: type[FarmError] = StorageError if StorageError in kinds else FetchError
    if kinds == {IntegrityError}:
        kind = IntegrityError
    hints = dict.fromkeys(error.hint for _, error in failures if error.hint)
    groups: dict[str, list[Want]] = {}
    for want, error in failures:
        groups.setdefault(reason_of(want, error), []).append(want)
    message = f"{len(failures)} sources could not be brought"
    if len(groups) == 1:
        ((reason, wants),) = groups.items()
        message, details = f"{message}: {reason}", _names(wants)
    else:
        details = [f"{name}: {why}" for why, wants in groups.items() for name in _names(wants)]
    return kind(message, hint="; ".join(hints), details=details)


def _names(wants: Sequence[Want]) -> list[str]:
    """What a reason is about; many crates in one line."""
    crates = [want for want in wants if isinstance(want, CrateWant)]
    if len(crates) <= _FEW:
        return [described(want) for want in wants]
    others = (want for want in wants if not isinstance(want, CrateWant))
    return [*map(described, others), listed(crates)]


def described(want: Want) -> str:
    """A want's name for display, with where it comes from unless that is the index."""
    origin = f" from {redact(want.url)}" if isinstance(want, FileWant | GitWant) else ""
    return want.label + origin


def reason_of(want: Want, error: FarmError) -> str:
    """Why a want could not be had, without its name, which stands beside it."""
    for name in (described(want), want.label):
        if error.message.startswith(f"{name}: "):
            return error.message.removeprefix(f"{name}: ")
    return error.message
