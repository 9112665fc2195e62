"""What a start of the private engine that fails may cost: never its data, unless that is why.

Faults are put in where daemons are started; real ones are in tests/integration.
"""

from __future__ import annotations

import os
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from farm.debian import toolbox
from farm.debian.toolbox import Toolbox
from farm.engine import daemon_api, namespaces, private
from farm.engine.place import place_of
from farm.errors import CancelledError, EngineError, FarmError, StorageError
from farm.events import Event, Notice
from farm.host import process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.engine.place import Place


class Faults:
    """Daemons that are nothing but sleep, and fail at each start as they are told."""

    def __init__(self, folder: Path, *told: str) -> None:
        self.told = list(told)
        self.now = ""
        self.tried: list[str] = []
        self.notices: list[str] = []
        self.cancel = threading.Event()
        self.cache = folder / "cache"
        self.place = place_of(self.cache)
        self.place.data.mkdir(parents=True)
        self.keepsake = self.place.data / "keepsake"
        self.keepsake.write_text("")
        loader = folder / "toolbox/usr/lib/x/ld-linux-x.so.2"
        loader.parent.mkdir(parents=True)
        loader.touch()
        self.tools = Toolbox(root=folder / "toolbox", key="k")
        self.daemons: list[subprocess.Popen[bytes]] = []

    def start_engine(
        self, _: Toolbox, place: Place, data: Path, **__: object
    ) -> process.ProcessId:
        self.now = self.told.pop(0) if self.told else "up"
        self.tried.append(data.name)
        if self.now in {"ends", "full"} or (self.now == "ends with data" and any(data.iterdir())):
            place.log.write_text("no space left on device" if self.now == "full" else "panic")
            raise EngineError("it ended")
        self.daemons.append(subprocess.Popen(["sleep", "300"]))
        found = process.identify(self.daemons[-1].pid)
        assert found is not None
        stat = f"/proc/{found.pid}/stat"
        with open(stat) as file:  # noqa: PTH123 - of another process
            place.engine_identity.write_text(f"{found.boot_id}\n{file.read()}")
        return found

    def start_network(self, _: Toolbox, place: Place, *__: object, **___: object) -> None:
        if self.now == "no network":
            raise EngineError("the network did not come up")
        place.network_identity.write_bytes(place.engine_identity.read_bytes())

    def answers(self, *_: object, **__: object) -> bool:
        if self.now == "cancelled":
            self.cancel.set()
        return self.now not in {"silent", "cancelled"}

    def sink(self, event: Event, /) -> None:
        if isinstance(event, Notice):
            self.notices.append(event.text)

    def start(self) -> FarmError | None:
        try:
            private.ensure_running(self.cache, self.sink, cancel=self.cancel)
        except FarmError as error:
            return error
        return None


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    made = Faults(tmp_path)
    monkeypatch.setattr(toolbox, "require_host", lambda: None)
    monkeypatch.setattr(toolbox, "prepare", lambda *_, **__: made.tools)
    monkeypatch.setattr(namespaces, "start_engine", made.start_engine)
    monkeypatch.setattr(namespaces, "start_network", made.start_network)
    monkeypatch.setattr(daemon_api, "answers", made.answers)
    monkeypatch.setattr(private, "_START_TIMEOUT_S", 0.3)
    yield made
    private.stop(made.cache)
    for daemon in made.daemons:
        daemon.kill()
        daemon.wait()


@pytest.mark.parametrize("fault", ["ends", "no network", "silent"])
def test_a_fault_that_passes_costs_nothing(faults: Faults, fault: str) -> None:
    faults.told = [fault, "up"]
    assert faults.start() is None
    assert faults.tried == ["data", "data"]
    assert faults.keepsake.exists()
    assert faults.notices == []


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (["no network"] * 3, EngineError),
        (["silent"] * 3, EngineError),
        (["ends"] * 3, EngineError),
        (["no network", "ends with data", "up"], EngineError),
        (["ends with data", "silent", "up"], EngineError),
        (["full", "up"], StorageError),
        (["ends with data", "full", "up"], StorageError),
        (["cancelled", "up"], CancelledError),
        (["ends with data", "ends with data", "no network"], EngineError),
        (["ends with data", "ends with data", "cancelled"], CancelledError),
    ],
)
def test_a_fault_that_lasts_keeps_the_data_where_it_is(
    faults: Faults, told: list[str], expected: type[FarmError]
) -> None:
    faults.told = list(told)
    error = faults.start()
    assert type(error).__mro__.index(expected) <= 1
    assert faults.keepsake.exists()
    assert sorted(path.name for path in faults.place.folder.glob("data*")) == ["data"]
    faults.cancel.clear()
    faults.told = []
    assert faults.start() is None  # and the next farm starts with it
    assert faults.keepsake.exists()


def test_data_that_it_cannot_live_with_is_put_aside_and_said(faults: Faults) -> None:
    faults.told = ["ends with data"] * 3
    assert faults.start() is None
    assert faults.tried == ["data", "data", "data.trial"]
    (aside,) = private.status(faults.cache).aside
    assert (aside / "keepsake").exists()
    assert not any(faults.place.data.iterdir())
    (notice,) = faults.notices
    assert str(aside) in notice
    assert "rm -r" in notice


def test_a_trial_that_a_killed_farm_left_is_no_data(faults: Faults) -> None:
    (faults.place.folder / "data.trial/half").mkdir(parents=True)
    assert faults.start() is None
    assert faults.keepsake.exists()
    assert not (faults.place.folder / "data.trial").exists()


def test_waiting_for_an_engine_that_is_silent_can_be_cancelled(faults: Faults) -> None:
    assert faults.start() is None
    faults.now = "cancelled"
    assert isinstance(faults.start(), CancelledError)
    assert faults.daemons[0].poll() is None


def test_a_network_program_that_says_nothing_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(namespaces, "_NETWORK_S", 0.3)
    ready, held = os.pipe()  # held open, as by a program that hangs
    try:
        assert namespaces.ready(ready, threading.Event()) is False
        os.write(held, b"1")
        assert namespaces.ready(ready, threading.Event()) is True
        cancel = threading.Event()
        cancel.set()
        with pytest.raises(CancelledError):
            namespaces.ready(ready, cancel)
    finally:
        os.close(ready)
        os.close(held)
