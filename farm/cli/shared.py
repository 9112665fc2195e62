"""Options about results that are shared between machines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.errors import UsageError
from farm.events import Notice

if TYPE_CHECKING:
    from farm.events import Event
    from farm.run.sharing import Shared

Results = Annotated[
    str | None,
    typer.Option(
        "--results",
        envvar="FARM_RESULTS",
        metavar="FOLDER|URL",
        help="Results shared between machines: asked before a build, filled after it.",
    ),
]
ReadOnly = Annotated[
    bool,
    typer.Option(
        "--results-read-only",
        envvar="FARM_RESULTS_READ_ONLY",
        help="Take shared results, put none there.",
    ),
]
TrustKey = Annotated[
    list[Path] | None,
    typer.Option(
        "--trust-key",
        help="Take only shared results that this ed25519 key (PEM, public) signed; "
        "may be repeated.",
    ),
]


def shared_of(
    results: str | None, trust_key: list[Path] | None, *, read_only: bool
) -> Shared | None:
    """Where results are shared, if that is asked for.

    Raises:
        UsageError: that is no place, or none is named to take results from.
    """
    if results is None:
        if trust_key:
            raise UsageError("--trust-key needs --results", hint="of which results?")
        return None
    from farm.run.sharing import Shared
    from farm.store.objects import Address

    trust = tuple(path.absolute() for path in trust_key or ())
    return Shared(address=Address.of(results), read_only=read_only, trust=trust)


def tell(event: Event, /) -> None:
    """Say what is wrong with shared results, where nothing else happens."""
    if isinstance(event, Notice):
        typer.echo(f"{event.unit}: {event.text}" if event.unit else event.text, err=True)
