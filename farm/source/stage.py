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
from farm.source.job import Job, Places

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from farm.events import Sink
    from farm.source.kinds import Brought, Input
    from farm.store.blobs import Store

_WORKERS = 4
_POLL_S = 0.2
_LAST_WORDS_S = 0.5
_FEW = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The smallest thing that is brought at once: one input, or the crates of one Cargo.lock."""

    inputs: tuple[Input, ...]

    @property
    def label(self) -> str:
        """For display."""
        return listed(self.inputs)

    def present(self, store: Store) -> dict[Input, str]:
        """Those that the store has, with the sha256 of their files."""
        found = {each: each.present(store) for each in self.inputs}
        return {each: sha256 for each, sha256 in found.items() if sha256}

    def bring(self, job: Job) -> Brought:
        """Bring all; what could not be had is returned, with the reason.

        Raises:
            CancelledError: ``job.cancel`` was set.
        """
        return self.inputs[0].bring_group(self.inputs, job)


def groups(inputs: Iterable[Input]) -> list[Group]:
    """Inputs by what is brought at once, in their order, each input once."""
    found: dict[Hashable, dict[Input, None]] = {}
    for each in inputs:
        found.setdefault(each.group, {})[each] = None
    return [Group(inputs=tuple(group)) for group in found.values()]


def stage(
    inputs: Sequence[Input],
    store: Store,
    sink: Sink,
    *,
    places: Places | None = None,
    cancel: threading.Event | None = None,
) -> dict[Input, str]:
    """Bring all inputs into the store; returns the sha256 of each one's file there.

    ``places`` says where they may come from.  ``cancel`` (or Ctrl-C) ends it
    within a second; what has come is kept for the next time.

    Raises:
        FetchError, IntegrityError, StorageError: the one failure as it is; of
            several a summary whose details name each input and its reason.
        CancelledError: ``cancel`` was set.
    """
    job = Job(
        store=store, sink=sink, places=places or Places(), cancel=cancel or threading.Event()
    )
    found, failures = stage_each(inputs, job)
    if failures:
        raise summary(failures)
    return found


def stage_each(inputs: Sequence[Input], job: Job) -> Brought:
    """Like `stage`, but what could not be brought is returned, in the order of the inputs."""
    order = {each: number for number, each in enumerate(dict.fromkeys(inputs))}
    found = {each: sha256 for each in order if (sha256 := each.present(job.store))}
    failures: list[tuple[Input, FarmError]] = []
    # A mirror that is filled needs what the store has, too.
    missing = [each for each in order if job.places.keep or each not in found]
    if missing:
        brought, failures = _bring_all(groups(missing), job)
        found |= brought
    lost = {each for each, _ in failures}
    kept = {each: found[each] for each in order if each in found and each not in lost}
    return kept, sorted(failures, key=lambda failure: order[failure[0]])


def _bring_all(wanted: Sequence[Group], job: Job) -> Brought:
    """By daemon threads: one that hangs in a connection cannot hold up the end of the process."""
    todo: queue.SimpleQueue[Group] = queue.SimpleQueue()
    results: queue.SimpleQueue[Brought | BaseException] = queue.SimpleQueue()
    for group in wanted:
        todo.put(group)

    def work() -> None:
        while not job.cancel.is_set():
            try:
                results.put(todo.get_nowait().bring(job))
            except queue.Empty:
                return
            except BaseException as error:  # noqa: BLE001 - raised again by the collecting thread
                results.put(error)

    count = min(_WORKERS, len(wanted))
    threads = [threading.Thread(target=work, name=f"stage-{n}", daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    try:
        return _collect(results, len(wanted), job.cancel)
    except BaseException:  # Ctrl-C too: children are ended, partial files stay
        job.cancel.set()
        for thread in threads:
            thread.join(_LAST_WORDS_S / count)
        raise


def _collect(
    results: queue.SimpleQueue[Brought | BaseException], count: int, cancel: threading.Event
) -> Brought:
    brought: dict[Input, str] = {}
    failures: list[tuple[Input, FarmError]] = []
    while count:
        if cancel.is_set():
            raise CancelledError("cancelled while fetching; what has come is kept")
        try:
            result = results.get(timeout=_POLL_S)
        except queue.Empty:
            continue
        if isinstance(result, BaseException):
            raise result
        brought |= result[0]
        failures += result[1]
        count -= 1
    return brought, failures


def summary(failures: Sequence[tuple[Input, FarmError]]) -> FarmError:
    """The one failure, or one that names them all: the kind that all share, or FetchError.

    Where one was cancelled all were: what else went wrong is then no reason for anything.
    """
    if len({id(error) for _, error in failures}) == 1:  # crates are fetched together
        return failures[0][1]
    for _, error in failures:
        if isinstance(error, CancelledError):
            return error
    kinds = {type(error) for _, error in failures}
    # A full disk explains whatever else went wrong.
    kind: type[FarmError] = StorageError if StorageError in kinds else FetchError
    if kinds == {IntegrityError}:
        kind = IntegrityError
    hints = dict.fromkeys(error.hint for _, error in failures if error.hint)
    reasons: dict[str, list[Input]] = {}
    for each, error in failures:
        reasons.setdefault(reason_of(each, error), []).append(each)
    message = f"{len(failures)} sources could not be brought"
    if len(reasons) == 1:
        ((reason, inputs),) = reasons.items()
        message, details = f"{message}: {reason}", _names(inputs)
    else:
        details = [f"{name}: {why}" for why, inputs in reasons.items() for name in _names(inputs)]
    return kind(message, hint="; ".join(hints), details=details)


def _names(inputs: Sequence[Input]) -> list[str]:
    """What a reason is about; many that are brought at once in one line."""
    names: list[str] = []
    for group in groups(inputs):
        few = len(group.inputs) <= _FEW
        names += [each.described for each in group.inputs] if few else [group.label]
    return names


def listed(inputs: Sequence[Input]) -> str:
    """Inputs of one kind in a few words, for display."""
    if len(inputs) == 1:
        return inputs[0].label
    kind = inputs[0].label.partition(" ")[0]
    named = ", ".join(each.label.removeprefix(f"{kind} ") for each in inputs[:_FEW])
    return f"{len(inputs)} {kind}s ({named}{', …' if len(inputs) > _FEW else ''})"


def reason_of(wanted: Input, error: FarmError) -> str:
    """Why an input could not be had, without its name, which stands beside it."""
    for name in (wanted.described, wanted.label):
        if error.message.startswith(f"{name}: "):
            return error.message.removeprefix(f"{name}: ")
    return error.message
