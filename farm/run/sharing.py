"""Whether, where and on what terms a run shares results with other machines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.events import Notice

if TYPE_CHECKING:
    from pathlib import Path

    from farm.events import Sink
    from farm.run.options import BuildOptions
    from farm.store.objects import Address
    from farm.store.remote import RemoteResults


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Where results are shared.

    With ``read_only`` they are taken from there, never put there.  ``trust`` are files with
    public keys: if there are any, only what one of them signed is taken.
    """

    address: Address
    read_only: bool = False
    trust: tuple[Path, ...] = ()


def open_shared(options: BuildOptions, sink: Sink) -> RemoteResults | None:
    """The shared results that a run asks; none where none are named, or offline, but a folder.

    Who signs takes only what is signed: else what anybody put there would be signed next.

    Raises:
        UsageError: a key cannot be read.
    """
    shared, sign_key = options.results, options.sign_key
    if shared is None:
        return None
    if options.offline and shared.address.folder is None:
        sink(Notice(text=f"offline: shared results in {shared.address} are not asked for"))
        return None
    from farm.store.remote import RemoteResults, Terms
    from farm.store.signing import read_public_key

    trusted = [read_public_key(path) for path in shared.trust]
    if sign_key is not None:
        trusted.append(sign_key.public_key())
    terms = Terms(fills=not shared.read_only, sign_key=sign_key, trusted=tuple(trusted))
    return RemoteResults(shared.address, terms, sink)
