"""What units share: staged inputs, one engine, bases; each made once and when first needed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from farm.model.unit import ImageBase
from farm.run.fetching import cargo_of
from farm.source.places import Places
from farm.source.stage import stage
from farm.source.wants import (
    pins_of,
    want_of_pin,
    want_of_source,
    wants_of_crates,
    wants_of_units,
)
from farm.store.blobs import Store

if TYPE_CHECKING:
    from pathlib import Path

    from farm.engine.endpoint import Endpoint
    from farm.events import Sink
    from farm.model.unit import RootfsBase, Unit
    from farm.run.options import BuildOptions


class Supplies:
    """Brings what units need; safe to call from several threads."""

    def __init__(
        self, cache: Path, options: BuildOptions, sink: Sink, cancel: threading.Event
    ) -> None:
        self.cache = cache
        self.store = Store(cache / "store")
        self._options = options
        self._sink = sink
        self._cancel = cancel
        self._staging = threading.Lock()
        self._connecting = threading.Lock()
        self._loading = threading.Lock()
        self._endpoint: Endpoint | None = None
        self._bases: dict[RootfsBase, tuple[str, dict[str, object]]] = {}

    def inputs(self, unit: Unit) -> dict[str, Path]:
        """Stage a unit's inputs; maps each digest to its file in the store.

        Raises:
            FetchError, IntegrityError, StorageError: some could not be had.
        """
        # One unit at a time, several files at once: what two units share is fetched once.
        with self._staging:
            found = stage(
                wants_of_units([unit]),
                self.store,
                self._sink,
                places=Places(
                    offline=self._options.offline,
                    mirror=self._options.source_mirror,
                    cargo=cargo_of(self.cache),
                ),
                cancel=self._cancel,
            )
        digests = {
            s.digest: found[want_of_source(s, unit.key)] for s in (unit.source, *unit.sources)
        }
        digests |= {f"sha256:{pin.sha256}": found[want_of_pin(pin)] for pin in pins_of(unit)}
        crates = wants_of_crates(unit.crates)
        digests |= {digest: found[want] for digest, want in crates.items()}
        return {digest: self.store.path_of(sha256) for digest, sha256 in digests.items()}

    def endpoint(self) -> Endpoint:
        """The engine, started if it must be.

        Raises:
            EngineError: none is to be had, with the reason for each.
        """
        from farm.engine.connect import VARIABLE, choose, preference

        with self._connecting:
            if self._endpoint is None:
                self._endpoint = choose(
                    preference({VARIABLE: self._options.engine}),
                    self.cache,
                    self._sink,
                    cancel=self._cancel,
                )
            return self._endpoint

    def base(self, root: RootfsBase | ImageBase) -> tuple[str, dict[str, object]]:
        """The image of a base, there on the engine, and what the record says of it.

        Raises:
            BaseError: it could not be bootstrapped or loaded.
        """
        if isinstance(root, ImageBase):
            return root.image, {"image": root.image}
        from farm.debian import bases
        from farm.engine import images

        endpoint = self.endpoint()
        with self._loading:
            if root not in self._bases:
                spec = bases.spec_of(root)
                image = bases.ensure(spec, self.cache, self._sink, cancel=self._cancel)
                images.load(image, endpoint)
                self._bases[root] = (
                    image.tag,
                    {"tag": image.tag, "digest": image.digest, "packages": dict(image.packages)},
                )
            return self._bases[root]
