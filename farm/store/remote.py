"""Results shared between machines: asked for by identity, believed by hash and signature.

Below the address lies, for each identity::

    <package>-<version>/<variant>/<identity>/<sha256>       the files of the result
    <package>-<version>/<variant>/<identity>/result.json    what they are; written last

So an upload that was cut short is no result.  Nothing from there is used before all of it
was held against the listing, and the listing against what was asked for.  Whatever is wrong
there is told and fails nothing: the unit is built as if there were no such place.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import FetchError, IntegrityError
from farm.events import Notice, TaskProgress
from farm.store.listing import (
    MAX_BYTES,
    NAME,
    Listed,
    RefusedError,
    Why,
    listing_of,
    read_listing,
    text_of,
)
from farm.store.objects import Objects
from farm.store.record import read_record
from farm.store.results import result_at

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from farm.events import Sink
    from farm.model.key import UnitKey
    from farm.store.listing import Listing
    from farm.store.objects import Address
    from farm.store.record import Record
    from farm.store.results import Result, ResultStore
    from farm.store.signing import PrivateKey, PublicKey

ASKED_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms results are shared.

    Those that are made are put there if ``fills``, signed by ``sign_key``; of those that are
    taken a signature by one of ``trusted`` is demanded, if there is any.
    """

    fills: bool
    sign_key: PrivateKey | None = None
    trusted: tuple[PublicKey, ...] = ()


class RemoteResults:
    """The results at an address, for one run: a place that fails is not asked again.

    ``sink`` gets warnings and progress, one event at a time.
    """

    def __init__(self, address: Address, terms: Terms, sink: Sink) -> None:
        self.address = address
        self.terms = terms
        self.sink = sink
        self._objects = Objects(address)
        self._lock = threading.Lock()
        self._known: dict[str, Listed] = {}
        self._damaged: set[str] = set()
        self._told: set[str] = set()
        self._asks, self._fills = True, terms.fills

    @property
    def fills(self) -> bool:
        """Whether what is missing there is put there."""
        return self._asks and self._fills

    def ask(self, key: UnitKey, identity: str) -> Listing | None:
        """What the result of an identity consists of, if there is one that may be used."""
        if identity not in self._known and identity not in self._damaged and self._asks:
            try:
                listed = self._listed(key, identity)
            except RefusedError as error:
                self._refuse(key, error)
            except FetchError as error:
                self._give_up(error)
            else:
                if listed:
                    self._known[identity] = listed
        known = self._known.get(identity)
        return known.listing if known else None

    def ask_all(self, wanted: Iterable[tuple[UnitKey, str]]) -> list[Listing | None]:
        """`ask` for each, several at a time."""
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
            return list(pool.map(lambda each: self.ask(*each), wanted))

    def bring(
        self, key: UnitKey, identity: str, results: ResultStore, cancel: threading.Event
    ) -> Result | None:
        """The result of an identity, fetched and kept; None if there is none to be used.

        Raises:
            StorageError: the disk is full.
            CancelledError: ``cancel`` was set.
        """
        listing = self.ask(key, identity)
        if listing is None:
            return None
        try:
            with results.scratch() as scratch:
                self._fetch(key, listing, scratch, cancel)
                result = results.keep(scratch / "result", key, identity)
        except IntegrityError as error:
            self._known.pop(identity, None)
            self._damaged.add(identity)
            self._refuse(key, error)
        except FetchError as error:
            self._give_up(error)
        else:
            self._tell(f"its result comes from {self.address}", unit=key.label)
            return result
        return None

    def offer(self, key: UnitKey, identity: str, results: ResultStore) -> None:
        """Put what is kept there, if it is missing there.

        What is there stays, unless it is damaged, was held against something else, or is not
        signed where this one is.
        """
        result = results.find(key, identity)
        if result is None:
            return
        known = self._known.get(identity)
        if (known and self._stays(key, result, known)) or not self.fills:
            return
        try:
            self._fill(key, result)
        except (FetchError, OSError) as error:
            self._fills = False
            self._tell(
                f"results are not shared in this run: {_said(error)}; what was built is kept here"
            )

    def _fetch(
        self, key: UnitKey, listing: Listing, scratch: Path, cancel: threading.Event
    ) -> None:
        """Bring all files into a folder ``result``, and see that they are one."""
        made, done = scratch / "result", 0
        task, total = f"{key.label} (shared)", sum(each.size_bytes for each in listing.files)

        def progress(more: int) -> None:
            nonlocal done
            done += more
            self.sink(TaskProgress(task=task, done=done, total=total))

        (made / "logs").mkdir(parents=True)
        try:
            for each in listing.files:
                self._objects.fetch(
                    f"{_folder(key, listing.identity)}/{each.sha256}",
                    made / each.name,
                    sha256=each.sha256,
                    size=each.size_bytes,
                    cancel=cancel,
                    progress=progress,
                )
        finally:
            self.sink(TaskProgress(task=task, done=done, total=total, finished=True))
        if not _fits(made, listing) or result_at(made, key, listing.identity) is None:
            raise RefusedError(Why.DAMAGED, "its record is not of this result")

    def _fill(self, key: UnitKey, result: Result) -> None:
        identity, sign_key = result.identity, self.terms.sign_key
        there: Listed | None = None
        try:
            there = self._listed(key, identity)
            new = there is None
        except RefusedError as error:
            if error.why is not Why.DAMAGED and not (sign_key and error.why is Why.UNSIGNED):
                self._refuse(key, error)
                return
            new = False
        if there and self._stays(key, result, there):
            return
        listing = listing_of(result, key)
        for sha256, name in {each.sha256: each.name for each in listing.files}.items():
            self._objects.send(f"{_folder(key, identity)}/{sha256}", result.folder / name)
        self._objects.write(
            f"{_folder(key, identity)}/{NAME}", text_of(listing, sign_key), new=new
        )

    def _listed(self, key: UnitKey, identity: str) -> Listed | None:
        """What lies there now.

        Raises:
            RefusedError: nothing that may be used.
            FetchError: it cannot be asked for.
        """
        try:
            content = self._objects.read(f"{_folder(key, identity)}/{NAME}", MAX_BYTES)
        except IntegrityError as error:
            raise RefusedError(Why.DAMAGED, error.message) from error
        if content is None:
            return None
        return read_listing(content, key, identity, self.terms.trusted)

    def _stays(self, key: UnitKey, result: Result, there: Listed) -> bool:
        """Whether what lies there stays; if one identity gave two contents, that is told."""
        if there.signed and self.terms.sign_key is None:
            replaceable = False
        else:
            replaceable = result.identity in self._damaged
            replaceable |= there.listing.expected != result.record.expected
        ours = _wheels(result.record)
        theirs = {each.name: each.sha256 for each in there.listing.wheels}
        if ours == theirs:
            return not replaceable
        text = "one identity gave two contents"
        for name, sha256 in sorted(ours.items()):
            text += (
                f"; {name} has sha256 {sha256[:12]} here, {theirs.get(name, 'none')[:12]} there"
            )
        stays = not replaceable or result.identity not in self._damaged
        then = "stays" if stays else "is damaged, and replaced"
        self._tell(f"{text}; the one in {self.address} {then}", unit=key.label)
        return stays

    def _refuse(self, key: UnitKey, error: IntegrityError) -> None:
        said = _said(error)
        self._tell(f"the result in {self.address} is not used: {said}", unit=key.label)

    def _give_up(self, error: FetchError) -> None:
        with self._lock:
            first, self._asks = self._asks, False
        if first:
            self._tell(f"shared results are not asked for (again) in this run: {_said(error)}")

    def _tell(self, text: str, *, unit: str | None = None) -> None:
        """Say something once."""
        with self._lock:
            if f"{unit} {text}" not in self._told:
                self._told.add(f"{unit} {text}")
                self.sink(Notice(text=text, unit=unit))


def _fits(made: Path, listing: Listing) -> bool:
    """Whether the record that came speaks of the files that came, and of no others anywhere."""
    record = read_record(made)
    return (
        record is not None
        and record.expected == listing.expected
        and _wheels(record) == {each.name: each.sha256 for each in listing.wheels}
        and {each.name for each in record.attestations} <= {each.name for each in listing.files}
    )


def _folder(key: UnitKey, identity: str) -> str:
    return f"{key.folder}/{identity}"


def _wheels(record: Record) -> dict[str, str]:
    return {wheel.filename: wheel.sha256 for wheel in record.wheels}


def _said(error: FetchError | IntegrityError | OSError) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return error.message
