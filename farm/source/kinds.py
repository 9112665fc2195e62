"""The kinds of inputs: each is one class, each of its values becomes one file of the store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003 - dataclass fields are introspected when printed as JSON
from typing import TYPE_CHECKING, Any, TypeAlias

from farm.errors import CancelledError, FarmError
from farm.host.urls import check_filename, redact
from farm.model.unit import git_digest
from farm.source.job import absent

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from farm.model.crates import Crate
    from farm.model.debian import Deb, ResolvedBase
    from farm.source.job import Job
    from farm.store.blobs import Store

Brought: TypeAlias = "tuple[dict[Input, str], list[tuple[Input, FarmError]]]"
"""The sha256 of each input's file, and what could not be had."""


class Input(ABC):
    """Something that a build needs; hashable, and equal to what says the same."""

    __slots__ = ()

    @property
    @abstractmethod
    def label(self) -> str:
        """Its name, for display; nothing of it is secret."""

    @property
    @abstractmethod
    def digest(self) -> str:
        """What a build context calls it: ``sha256:…``, ``git:…`` or ``tree:…``."""

    @property
    def pin(self) -> str:
        """Its sha256 or commit; empty for a folder, which counts as it lies there."""
        kind, _, value = self.digest.partition(":")
        return "" if kind == "tree" else value.partition("+")[0]

    @property
    def origin(self) -> str:
        """Where it comes from, for display, without credentials; empty for the package index."""
        return ""

    @property
    def described(self) -> str:
        """Its name with where it comes from, unless that is what everything comes from."""
        return f"{self.label} from {self.origin}" if self.origin else self.label

    def present(self, store: Store) -> str | None:
        """The sha256 of its file if the store has it."""
        from farm.source.tar import archive_alias  # whoever only plans needs no tarfile

        return store.alias(archive_alias(self.digest))

    @abstractmethod
    def bring(self, job: Job) -> str:
        """Bring it unless it is there, and keep it where ``job.places`` says; returns its sha256.

        Raises:
            FetchError: it cannot be had, and why.
            IntegrityError: what came is something else.
            StorageError: the disk is full.
            CancelledError: ``job.cancel`` was set; what has come is kept.
        """

    @property
    def group(self) -> Hashable:
        """Equal for what is brought at once, by `bring_group` of the first."""
        return self

    def bring_group(self, inputs: Sequence[Input], job: Job) -> Brought:
        """Bring a group; what could not be had is returned.

        Raises:
            CancelledError: ``job.cancel`` was set.
        """
        brought: dict[Input, str] = {}
        failures: list[tuple[Input, FarmError]] = []
        for each in inputs:
            try:
                brought[each] = each.bring(job)
            except CancelledError:
                raise
            except FarmError as error:
                failures.append((each, error))
        return brought, failures


@dataclass(frozen=True, slots=True, kw_only=True)
class HashedFile(Input):
    """A file by its sha256."""

    sha256: str

    @property
    @abstractmethod
    def filename(self) -> str:
        """What it is called; in a mirror too."""

    @property
    def label(self) -> str:
        """Its name."""
        return self.filename

    @property
    def digest(self) -> str:
        """Its sha256."""
        return f"sha256:{self.sha256}"

    def present(self, store: Store) -> str | None:
        """Its sha256 if the store has it."""
        return self.sha256 if store.get(self.sha256) else None

    def bring(self, job: Job) -> str:
        """From the mirror, or else from where it comes from."""
        if not self.here(job):
            if job.places.offline:
                raise absent(self.described)
            self.download(job)
        if job.places.keep:
            job.places.keep.keep(self, job.store)
        return self.sha256

    def here(self, job: Job) -> bool:
        """Whether the store has it, now that the mirror was asked."""
        mirror = job.places.mirror
        return bool(self.present(job.store) or (mirror and mirror.bring(self, job.store)))

    @abstractmethod
    def download(self, job: Job) -> None:
        """Bring it over the network; raises like `bring`."""

    def names_in(self, _folder: Path, /) -> Iterator[str]:
        """What it may be called in a mirror's folder, besides its sha256."""
        yield check_filename(self.filename, where="mirror")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sdist(HashedFile):
    """The source distribution of a version, from the package index."""

    name: str
    version: str

    @property
    def filename(self) -> str:
        """As most projects call it."""
        return f"{self.name.replace('-', '_')}-{self.version}.tar.gz"

    @property
    def label(self) -> str:
        """Its name: what it is called is known by the index alone."""
        return f"sdist of {self.name} {self.version}"

    def download(self, job: Job) -> None:
        """From the index, where it must be the sdist of that version."""
        job.index.find_sdist(self.name, self.version)
        job.fetch_listed(job.index.find_file(self.name, self.version, sha256=self.sha256))

    def names_in(self, folder: Path, /) -> Iterator[str]:
        """However its project spells its own name."""
        yield self.filename
        if folder.is_dir():
            yield from sorted(path.name for path in folder.iterdir() if self._is(path.name))

    def _is(self, name: str) -> bool:
        from packaging.utils import InvalidSdistFilename, canonicalize_name, parse_sdist_filename
        from packaging.version import InvalidVersion, Version

        with suppress(InvalidSdistFilename, InvalidVersion):
            found = parse_sdist_filename(name)
            return found == (canonicalize_name(self.name), Version(self.version))
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexFile(HashedFile):
    """One file of a version (a locked wheel) from the package index."""

    name: str
    version: str
    filename: str = field()  # not the property that it stands for

    def download(self, job: Job) -> None:
        """From the index."""
        job.fetch_listed(
            job.index.find_file(
                self.name, self.version, filename=self.filename, sha256=self.sha256
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlFile(HashedFile):
    """A file by URL: ``urls`` are tried in order.  ``size`` in bytes where it is known."""

    urls: tuple[str, ...]
    filename: str = field()  # not the property that it stands for
    size: int | None = None

    @property
    def origin(self) -> str:
        """Its first URL."""
        return redact(self.urls[0])

    def download(self, job: Job) -> None:
        """From the first URL that gives it; see `farm.source.fetch.Fetcher.fetch_first`."""
        job.fetch(*self.urls, sha256=self.sha256, task=self.label, size=self.size)


class _Together(HashedFile):
    """A file that is downloaded together with others."""

    @abstractmethod
    def download_all(self, wanted: Sequence[Any], job: Job) -> None:
        """Bring files of this group over the network; raises like `bring` where one did not come.

        What has come is kept in any case.
        """

    def bring_group(self, inputs: Sequence[Input], job: Job) -> Brought:
        """Download those that are nowhere here."""
        failures: list[tuple[Input, FarmError]] = []
        missing: list[HashedFile] = []
        files = [each for each in inputs if isinstance(each, HashedFile)]
        for each in files:
            try:
                if not each.here(job):
                    missing.append(each)
            except FarmError as error:
                failures.append((each, error))
        if job.places.offline:
            failures += [(each, absent(each.label)) for each in missing]
        elif missing:
            try:
                self.download_all(missing, job)
            except CancelledError:
                raise
            except FarmError as error:
                failures += [(each, error) for each in missing if not each.present(job.store)]
        lost = {each for each, _ in failures}
        brought = [each for each in files if each not in lost]
        for each in brought if job.places.keep else ():
            each.bring(job)
        return {each: each.sha256 for each in brought}, failures

    def download(self, job: Job) -> None:
        """It alone."""
        self.download_all([self], job)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrateFile(_Together):
    """The file of a crate, from cargo's registry.

    ``among`` are the crates of the Cargo.lock that it comes from: cargo fetches them
    together, and one that two of these ask for is still one.
    """

    name: str
    version: str
    filename: str = field()  # not the property that it stands for
    among: tuple[Crate, ...] = field(default=(), compare=False, repr=False)

    @property
    def label(self) -> str:
        """Its name."""
        return f"crate {self.name} {self.version}"

    @property
    def origin(self) -> str:
        """Whatever registry cargo is set up with."""
        return "cargo's registry"

    @property
    def group(self) -> Hashable:
        """The crates of one Cargo.lock."""
        return ("crates", self.among)

    def download_all(self, wanted: Sequence[CrateFile], job: Job) -> None:
        """By one cargo, which has one reason for all."""
        from farm.source.crates import fetch_crates

        fetch_crates(wanted, job)


@dataclass(frozen=True, slots=True, kw_only=True)
class DebFile(_Together):
    """A package of ``base``, from Debian's mirror, or else from the snapshot archive."""

    deb: Deb
    base: ResolvedBase = field(compare=False, repr=False)

    @property
    def filename(self) -> str:
        """As the archive's pool calls it."""
        return self.deb.path.rpartition("/")[2]

    @property
    def label(self) -> str:
        """Its name."""
        return f"package {self.deb.name} {self.deb.version}"

    @property
    def origin(self) -> str:
        """Whatever mirror apt is set up with."""
        return "Debian's mirror"

    @property
    def group(self) -> Hashable:
        """The packages of one base."""
        return ("debs", self.base.digest)

    def download_all(self, wanted: Sequence[DebFile], job: Job) -> None:
        """Several at once, told as one."""
        from farm.source.debs import fetch_debs

        fetch_debs(wanted, job)


@dataclass(frozen=True, slots=True, kw_only=True)
class GitCommit(Input):
    """One commit of a git repository, as an archive with one top folder.

    ``submodules``: none, all recursively, or those at the named paths.
    """

    url: str
    commit: str
    submodules: bool | tuple[str, ...] = False

    @property
    def label(self) -> str:
        """Its commit; the URL is left out, since it may hold a password."""
        return f"git {self.commit[:12]}"

    @property
    def digest(self) -> str:
        """The same from whatever URL it came."""
        return git_digest(self.commit, self.submodules)

    @property
    def origin(self) -> str:
        """Its URL."""
        return redact(self.url)

    def bring(self, job: Job) -> str:
        """By git, which verifies every object of it."""
        from farm.source.git import fetch_commit

        return fetch_commit(self, job)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree(Input):
    """A folder on this machine, as an archive with one top folder.

    ``digest`` is of its names and contents when it was planned with (`tree_digest`).
    """

    path: Path
    digest: str = field()

    @property
    def label(self) -> str:
        """Its name."""
        return f"folder {self.path.name}"

    @property
    def origin(self) -> str:
        """Where it lies."""
        return str(self.path)

    def present(self, store: Store) -> str:
        """The sha256 of its archive; it is packed on the way.

        Raises:
            IntegrityError: the folder is no longer what it was.
            RecipeError: it holds links or devices.
            StorageError: the disk is full.
        """
        from farm.source.tree import pack_tree

        return Input.present(self, store) or pack_tree(self.path, self.digest, store)

    def bring(self, job: Job) -> str:
        """Pack it; it is kept nowhere else."""
        return self.present(job.store)
