"""``farm shell``: into the container at the step at which a build failed."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import common
from farm.errors import PatchError, UsageError
from farm.host.files import storage_errors
from farm.store.results import STATE

if TYPE_CHECKING:
    from farm.patching.new import Change
    from farm.repro.changed import Changed
    from farm.repro.grounds import Grounds
    from farm.repro.opening import Opened
    from farm.run.options import BuildOptions

Command = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[-- command...]",
        help="Run this instead of a shell, and end with its status.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What is to become of what was changed: ``name`` is empty where nobody named a patch."""

    name: str
    to: str
    with_new: bool
    fields: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visit:
    """One visit to a container."""

    opened: Opened
    grounds: Grounds
    options: BuildOptions
    command: tuple[str, ...]
    wish: _Wish

    @property
    def is_looked_at(self) -> bool:
        """Whether changes count: where a patch is wanted, or somebody can be asked."""
        return bool(self.wish.name) or (not self.command and self.grounds.project is not None)

    def change(self, name: str, source: str | None) -> Change:
        """A patch of the project, for a source of the bundle's unit."""
        from farm.patching.new import Change, earlier

        project, out = self.grounds.project, self.grounds.out
        if project is None or out is None:
            raise UsageError(
                "there is no project here to put the patch into", hint="name it: --root"
            )
        return Change(project, out, earlier([self.opened.unit], source), name)


def shell(
    context: typer.Context,
    what: common.Bundled = "latest",
    command: Command = None,
    at: Annotated[str, typer.Option("--at", help="A step, instead of the failing one.")] = "",
    patch: Annotated[
        str, typer.Option("--patch", help="Make a patch of this name of what was changed.")
    ] = "",
    to: Annotated[
        str, typer.Option("--to", help="The source that the patch is for, where several changed.")
    ] = "",
    with_new: Annotated[
        bool, typer.Option("--with-new-files", help="The patch makes new files, too.")
    ] = False,
    why: common.Why = "",
    upstream: common.Upstream = "",
    remove_when: common.RemoveWhen = "",
    max_jobs: common.MaxJobs = None,
    nvcc_threads: common.NvccThreads = None,
    memory: common.Memory = None,
    engine: common.Engine = "auto",
    offline: common.Offline = False,
    source_mirror: common.SourceMirror = None,
    trust_base: common.TrustBase = False,
    allow_network: common.AllowNetwork = False,
    output_dir: common.OutputDir = None,
) -> None:
    """Open a shell at the failing step, the failing command ready."""
    from farm.repro.grounds import opened_for

    options = common.options_for_one(
        max_jobs=max_jobs,
        nvcc_threads=nvcc_threads,
        memory=memory,
        engine=engine,
        offline=offline,
        locked=True,
        source_mirror=source_mirror,
    )
    grounds = common.grounds_of(context, output_dir)
    if not command and not sys.stdin.isatty():
        raise UsageError("there is no terminal for a shell", hint="name a command after --")
    fields = {"Why": why, "Upstream": upstream, "Remove-when": remove_when}
    wish = _Wish(name=patch, to=to, with_new=with_new, fields=fields)
    with (
        opened_for(what, grounds, trust_base=trust_base, networked=allow_network) as opened,
        tempfile.TemporaryDirectory(prefix="farm-shell-") as folder,
    ):
        visit = _Visit(
            opened=opened,
            grounds=grounds,
            options=options,
            command=tuple(command or ()),
            wish=wish,
        )
        if patch:  # told now, not when the work is done
            visit.change(patch, to or None).require_new()
        try:
            status, changed = _inside(visit, at, Path(folder))
        except PatchError as error:
            raise _with_place(error, _kept(Path(folder), grounds)) from None
        if visit.is_looked_at and (patch or changed):
            _to_patch(visit, _one(changed, to))
    raise typer.Exit(status if command else 0)


def _inside(visit: _Visit, at: str, folder: Path) -> tuple[int, tuple[Changed, ...]]:
    """Be in the container; its status, and the sources that were changed there."""
    from farm.console.choose import make_view
    from farm.repro.changed import changed_sources
    from farm.repro.grounds import Setting
    from farm.repro.shell import failed_stage, prepared

    opened = visit.opened
    changed: tuple[Changed, ...] = ()
    stage = failed_stage(opened, at)
    with make_view("plain") as view:
        setting = Setting(cache=visit.grounds.cache, options=visit.options, sink=view)
        made = prepared(opened, setting)
        with made.container(stage, visit.command, terminal=not visit.command) as session:
            typer.echo(f"{opened.unit.label}, as {stage} left it; no network", err=True)
            status = session.attach()
            if visit.is_looked_at:
                with_new = visit.wish.with_new
                changed = changed_sources(made, session, folder, with_new=with_new)
    return status, changed


def _to_patch(visit: _Visit, changed: Changed) -> None:
    """Make a patch of what was changed, as ``farm patch new`` would, where one is wanted."""
    from farm.cli.verbs.patch import tell_written

    name = visit.wish.name
    while not name:
        typer.echo(f"you changed {', '.join(changed.files)}", err=True)
        name = typer.prompt("name of a patch for that (empty: none)", default="", err=True)
        if not name:
            return
        try:
            visit.change(name, changed.source).require_new()
        except UsageError as error:  # what was changed must not be lost for a slip
            typer.echo(f"{error.message}; {error.hint}", err=True)
            name = ""
    change = visit.change(name, changed.source)
    change.take(changed.before, changed.after)
    try:
        written = change.finish(visit.wish.fields)
    except PatchError as error:
        raise _with_place(error, change.folder) from None
    if visit.grounds.project is not None:
        tell_written(written, visit.grounds.project, as_json=False)


def _kept(folder: Path, grounds: Grounds) -> Path:
    """Where the files that were changed are kept, of which no patch could be made."""
    out = grounds.out or grounds.cache
    kept = out / STATE / "shell" / time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    with storage_errors(kept):
        shutil.copytree(folder, kept, symlinks=True)
    return kept


def _with_place(error: PatchError, place: Path) -> PatchError:
    """An error with where the work is that must not be lost."""
    hints = (error.hint, f"what you changed is kept in {place}")
    error.hint = "; ".join(filter(None, hints))
    return error


def _one(changed: tuple[Changed, ...], to: str) -> Changed:
    """The source that a patch is for."""
    found = [each for each in changed if to in {"", each.source}]
    if not found:
        raise UsageError(
            "nothing was changed that was there before the compile",
            hint="new files count with --with-new-files",
        )
    if len(found) > 1:
        names = ", ".join(each.source for each in found)
        raise UsageError(f"several sources were changed: {names}", hint="name one: --to")
    return found[0]
