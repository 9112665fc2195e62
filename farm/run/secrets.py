"""What networked steps are told in confidence: proxies and a company's certificates.

They reach such a step as files mounted for its time alone, so they are in no
layer, no command line, no log and no record.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from farm.host.network import NetworkSettings, proxy_variables
from farm.model.unit import ImageBase

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from farm.model.unit import Unit

Secrets = tuple[tuple[str, Path], ...]


@contextmanager
def network_secrets(unit: Unit, environ: Mapping[str, str] | None = None) -> Iterator[Secrets]:
    """Secrets for the steps of a unit that use the network, as (id, file); gone afterwards.

    ``proxy`` is a shell script that exports the proxy variables, ``ca`` the CA
    bundle that pip and others are set up with.  A unit whose base was
    bootstrapped has no networked step, and gets none.

    Raises:
        FetchError: a CA bundle is named that does not exist.
    """
    if not isinstance(unit.base, ImageBase):
        yield ()
        return
    environ = os.environ if environ is None else environ
    with tempfile.TemporaryDirectory(prefix="farm-secrets-") as name:  # readable by us alone
        found: list[tuple[str, Path]] = []
        script = proxy_script(environ)
        if script:
            path = Path(name) / "proxy"
            path.write_text(script, encoding="utf-8")
            found.append(("proxy", path))
        bundle = NetworkSettings.of_machine(environ).ca_bundle
        if bundle and Path(bundle).is_file():
            found.append(("ca", Path(bundle)))
        yield tuple(found)


def proxy_script(environ: Mapping[str, str]) -> str:
    """Shell lines that export the proxy variables, in capitals and not; empty without proxies."""
    found = proxy_variables(environ).items()
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in found)
