"""``result.json``: what a shared result consists of, each file by its sha256 and size.

It may be signed: then it is a DSSE envelope (`farm.store.signing`) of the same text.  What
comes from elsewhere may have been written by anybody, so everything in it is held against
what was asked for before a file is fetched.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import AfterValidator, Field, ValidationError

from farm.errors import IntegrityError
from farm.host.files import sha256_of
from farm.model.strict import Sha256, Strict
from farm.store.bundle import LOGS
from farm.store.signing import sign, unverified, verify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.model.key import UnitKey
    from farm.store.results import Result
    from farm.store.signing import PrivateKey, PublicKey

FORMAT: Final = 1
NAME: Final = "result.json"
PAYLOAD: Final = "application/vnd.farm.result+json"
"""What a signature is of, in DSSE's words."""
MAX_BYTES: Final = 1 << 20
MAX_FILE_BYTES: Final = 64 << 30
MAX_RECORD_BYTES: Final = 64 << 20
"""Of the files that are read as a whole."""
MANIFEST: Final = "manifest.json"
_FIXED: Final = frozenset(
    {"record.json", MANIFEST, "Dockerfile", "Dockerfile.smoke-test"}
    | {f"logs/{name}" for name in LOGS}
)
_OF_WHEELS = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9_.+!]*(?:-[A-Za-z0-9_.+!]+){4,5}\.whl(?:\.[a-z.]+)?"
)
"""A wheel's name, or one that begins with it: what tells of a wheel lies beside it."""


class Why(Enum):
    """Why what lies there is not used."""

    DAMAGED = auto()
    UNSIGNED = auto()
    FOREIGN = auto()
    NEWER = auto()


class RefusedError(IntegrityError):
    """A shared result that is not used."""

    def __init__(self, why: Why, message: str) -> None:
        super().__init__(message)
        self.why = why


def belongs(name: str) -> bool:
    """Whether a file may be part of a result; no name of these leads out of its folder."""
    return name in _FIXED or (len(name) < 256 and bool(_OF_WHEELS.fullmatch(name)))  # noqa: PLR2004


def _checked(name: str) -> str:
    if not belongs(name):
        raise ValueError(f"{name[:80]!r} is no file of a result")
    return name


class ListedFile(Strict):
    """A file of a result, by its path in the folder of the result."""

    name: Annotated[str, AfterValidator(_checked)]
    sha256: Sha256
    size_bytes: Annotated[int, Field(strict=True, ge=0, le=MAX_FILE_BYTES)]


class Listing(Strict):
    """All files of the result of one identity.

    ``expected`` is the digest of what its wheels were held against, as in their record.
    """

    format: Annotated[int, Field(strict=True)]
    unit: str
    identity: Sha256
    expected: Annotated[str, Field(max_length=64)]
    files: Annotated[tuple[ListedFile, ...], Field(max_length=64)]

    @property
    def wheels(self) -> tuple[ListedFile, ...]:
        """The wheels, as what needs them takes them."""
        return tuple(each for each in self.files if each.name.endswith(".whl"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A listing that was read, and whether it was in an envelope."""

    listing: Listing
    signed: bool


def listing_of(result: Result, key: UnitKey) -> Listing:
    """List the files of a result; what else somebody put there is left out.

    Raises:
        OSError: it cannot be read.
    """
    folder = result.folder
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    return Listing(
        format=FORMAT,
        unit=key.label,
        identity=result.identity,
        expected=result.record.expected,
        files=tuple(
            ListedFile(name=name, sha256=sha256_of(path), size_bytes=path.stat().st_size)
            for name, path in paths.items()
            if belongs(name) and path.is_file() and not path.is_symlink()
        ),
    )


def text_of(listing: Listing, key: PrivateKey | None) -> bytes:
    """What is stored: the listing, in an envelope where there is a key to sign it with."""
    text = json.dumps(listing.model_dump(), sort_keys=True, indent=1).encode() + b"\n"
    return json.dumps(sign(text, PAYLOAD, key)).encode() + b"\n" if key else text


def read_listing(
    content: bytes, key: UnitKey, identity: str, trusted: Sequence[PublicKey]
) -> Listed:
    """Read what is stored; with ``trusted`` keys, only what one of them signed.

    Raises:
        RefusedError: it is none, of another format, of another unit, or not signed so.
    """
    data = _json(content)
    signed = "payloadType" in data
    if signed:
        data = _json(_opened(data, trusted))
    elif trusted:
        raise RefusedError(Why.UNSIGNED, "it is not signed")
    found = data.get("format")
    if type(found) is int and found != FORMAT:
        raise RefusedError(Why.NEWER, f"it has format {found}, and this farm reads {FORMAT}")
    try:
        listing = Listing.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))[:80]
        told = f"its listing: {where}: {first['msg']}"
        printable = "".join(char for char in told if char.isprintable())
        raise RefusedError(Why.DAMAGED, printable) from None
    _fits(listing, key, identity)
    return Listed(listing=listing, signed=signed)


def _json(content: bytes) -> dict[str, Any]:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise RefusedError(Why.DAMAGED, "its listing is no JSON object")
    return data


def _opened(envelope: dict[str, Any], trusted: Sequence[PublicKey]) -> bytes:
    try:
        if trusted:
            return verify(envelope, PAYLOAD, trusted)
        return unverified(envelope, PAYLOAD)
    except IntegrityError as error:
        told = "; ".join(filter(None, (error.message, error.hint)))
        raise RefusedError(Why.FOREIGN if trusted else Why.DAMAGED, told) from error


def _fits(listing: Listing, key: UnitKey, identity: str) -> None:
    """Hold a listing against what was asked for."""
    digests = {each.name: each.sha256 for each in listing.files}
    large = [
        each.name
        for each in listing.files
        if each.name.endswith(".json") and each.size_bytes > MAX_RECORD_BYTES
    ]
    faults = {
        f"it is of another unit ({listing.unit[:80]!r})": listing.unit != key.label,
        f"it is of another identity ({listing.identity[:12]})": listing.identity != identity,
        f"it lists {', '.join(large)} larger than any": bool(large),
        "it lists a file twice": len(digests) != len(listing.files),
        "it lists no wheel, or no record": not listing.wheels or "record.json" not in digests,
        # The manifest is what an identity is the digest of.
        "its manifest is not that of the identity": digests.get(MANIFEST) != identity,
    }
    for fault, is_so in faults.items():
        if is_so:
            raise RefusedError(Why.DAMAGED, fault)
