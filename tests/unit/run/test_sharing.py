"""Runs of machines that share results, on engines that build nothing."""

from __future__ import annotations

import json
import queue
import shutil
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from farm.errors import ExitCode, UsageError
from farm.events import Notice, Outcome
from farm.model.look import Look
from farm.run.forecast import forecast
from farm.run.options import Again, BuildOptions
from farm.run.sharing import Shared, open_shared
from farm.store.objects import Address
from tests.support.fake_engine import COMPILE, TRIAL, Call, FakeEngine
from tests.support.objects import ObjectServer, refusing, serving
from tests.unit.run.test_units import PATIENCE_S, Farm, label

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NEEDS = {"low": [], "mid": ["low"], "high": ["mid", "low"], "other": []}
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


@pytest.fixture
def server() -> Iterator[ObjectServer]:
    with serving() as made:
        yield made


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    return Shared(address=Address.of(str(tmp_path / "shared")))


def machine(tmp_path: Path, name: str) -> Farm:
    return Farm(root=tmp_path / name, needs=NEEDS)


def said(farm: Farm) -> list[str]:
    return [event.text for event in farm.events if isinstance(event, Notice)]


def wheels(farm: Farm) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in farm.place.out.rglob("*.whl")}


def standings(farm: Farm, shared: Shared, **options: Any) -> dict[str, str]:
    asked = BuildOptions(results=shared, **options)
    rows = forecast(farm.plan(), farm.place, asked, open_shared(asked, print)).units
    return {row.label.partition("@")[0]: f"{row.standing}: {row.why}" for row in rows}


def test_a_second_machine_builds_nothing_and_asks_no_engine(
    tmp_path: Path, shared: Shared
) -> None:
    first, second = (machine(tmp_path, name) for name in ("first", "second"))
    first.build(results=shared)
    assert set(first.outcomes().values()) == {Outcome.BUILT}
    found = standings(second, shared)
    assert set(found) == set(NEEDS)
    assert set(found.values()) == {"built: its result is shared, and will be fetched"}
    second.build(results=shared)
    assert set(second.outcomes().values()) == {Outcome.UNCHANGED}
    assert not second.engine.calls
    assert wheels(second) == wheels(first)
    assert len(wheels(second)) == len(NEEDS)
    assert second.build(results=shared).stood


def test_what_lacks_in_a_chain_alone_is_built(tmp_path: Path, shared: Shared) -> None:
    first, second = (machine(tmp_path, name) for name in ("first", "second"))
    first.build(results=shared)
    shutil.rmtree(tmp_path / "shared/mid-1.0.0")
    assert {n: s[:8] for n, s in standings(second, shared).items()} == {
        "low": "built: i",
        "mid": "to build",
        "high": "to build",
        "other": "built: i",
    }
    second.build(results=shared)
    assert dict(second.engine.built) == {label("mid"): 1}
    assert wheels(second) == wheels(first)
    assert (tmp_path / "shared/mid-1.0.0").is_dir()


def test_a_shared_result_is_tried_anew_where_something_else_is_expected(
    tmp_path: Path, shared: Shared
) -> None:
    first, second, third = (machine(tmp_path, name) for name in ("first", "second", "third"))
    first.build(results=shared)
    with monkeypatched_version("9.9"):
        assert all("to be held against" in why for why in standings(second, shared).values())
        second.build(results=shared)
        assert not second.engine.built
        assert second.engine.asked(TRIAL) == len(NEEDS)
        third.build(results=shared)
        assert not third.engine.calls


@contextmanager
def monkeypatched_version(version: str) -> Iterator[None]:
    """Another farm expects other things."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("farm.__version__", version)
        yield


def test_what_was_built_before_is_shared_too(tmp_path: Path, shared: Shared) -> None:
    first, second = (machine(tmp_path, name) for name in ("first", "second"))
    first.build()
    assert not first.build(results=shared).stood
    assert first.build(results=shared).stood
    second.build(results=shared)
    assert not second.engine.calls


def test_read_only_and_the_plan_put_nothing_there(tmp_path: Path, shared: Shared) -> None:
    first = machine(tmp_path, "first")
    first.build()
    read_only = Shared(address=shared.address, read_only=True)
    assert first.build(results=read_only).stood
    assert set(standings(first, read_only).values()) != set()
    assert not (tmp_path / "shared").exists()


def test_a_tampered_result_is_told_and_built_instead(tmp_path: Path, shared: Shared) -> None:
    first, second = (machine(tmp_path, name) for name in ("first", "second"))
    first.build(results=shared)
    for path in (tmp_path / "shared/mid-1.0.0").rglob("*"):
        if path.is_file() and path.name != "result.json":
            path.write_bytes(b"evil")
    second.build(results=shared)
    assert dict(second.engine.built) == {label("mid"): 1}
    assert any("is not used" in text for text in said(second))
    assert wheels(second) == wheels(first)


def test_only_what_a_trusted_key_signed_is_used(tmp_path: Path, shared: Shared) -> None:
    public = tmp_path / "public.pem"
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    public.write_bytes(pem)
    trusting = Shared(address=shared.address, trust=(public,))
    first, second, third = (machine(tmp_path, name) for name in ("first", "second", "third"))
    first.build(results=shared)
    second.build(results=trusting, sign_key=KEY)
    assert set(second.engine.built.values()) == {1}
    assert sum("it is not signed" in text for text in said(second)) == len(NEEDS)
    third.build(results=trusting)
    assert not third.engine.calls
    public.write_text("no key")
    with pytest.raises(UsageError, match="no key in PEM"):
        third.build(results=trusting)


@pytest.mark.parametrize("how", ["rebuild", "look"])
def test_who_wants_to_build_is_given_nothing(tmp_path: Path, shared: Shared, how: str) -> None:
    first, second = (machine(tmp_path, name) for name in ("first", "second"))
    first.build(results=shared)
    if how == "rebuild":
        second.build(results=shared, again=Again.REBUILD)
        assert set(second.engine.built.values()) == {1}
    else:
        second.build(results=shared, look=Look())
        looked = {call.unit for call in second.engine.calls if call.step == COMPILE}
        assert looked == {label("high"), label("other")}  # what others need was fetched


def test_offline_asks_a_folder_alone(tmp_path: Path, server: ObjectServer, shared: Shared) -> None:
    first, second = (machine(tmp_path, name) for name in ("first", "second"))
    first.build(results=shared)
    second.build(results=Shared(address=Address.of(server.url)), offline=True)
    assert not server.requests
    assert "offline: shared results in" in said(second)[0]
    third = machine(tmp_path, "third")
    third.build(results=shared, offline=True)
    assert not third.engine.calls


def test_a_place_that_is_down_fails_no_build_and_is_told_once(tmp_path: Path) -> None:
    first = machine(tmp_path, "first")
    with refusing() as url:
        address = Address.of(url.replace("://", "://me:hunter2@"))
        outcomes = first.build(results=Shared(address=address))
    assert outcomes.exit_code == 0
    (text,) = (text for text in said(first) if "shared results" in text)
    assert "not asked for" in text
    kept = [path.read_bytes() for path in (tmp_path / "first").rglob("*") if path.is_file()]
    assert not any(b"hunter2" in content for content in kept)


def test_a_result_shared_while_one_waits_for_what_it_needs_is_taken(
    tmp_path: Path, shared: Shared
) -> None:
    first, second = (machine(tmp_path, name) for name in ("first", "second"))

    def other_builds(call: Call) -> None:
        if call.unit == label("low"):  # for which "high" waits, whatever else goes on beside it
            second.engine.on_call = None
            first.build(results=shared)

    second.engine.on_call = other_builds
    second.build(results=shared)
    assert label("high") not in second.engine.built


def test_a_transfer_that_hangs_holds_up_no_cancel(tmp_path: Path, server: ObjectServer) -> None:
    first, cancel, over = machine(tmp_path, "first"), threading.Event(), threading.Event()
    in_time: queue.Queue[bool] = queue.Queue()

    def hang(method: str, path: str) -> None:
        if method == "PUT":
            cancel.set()
            in_time.put(over.wait(PATIENCE_S))

    server.before = hang
    outcomes = first.build(results=Shared(address=Address.of(server.url)), cancel=cancel)
    assert not any(path.endswith("result.json") for path in server.objects)
    over.set()
    assert in_time.get(timeout=PATIENCE_S)
    assert outcomes.exit_code in {0, ExitCode.CANCELLED}
    server.before = None
    assert first.build(results=Shared(address=Address.of(server.url))).exit_code == 0
    second = machine(tmp_path, "second")
    second.engine = FakeEngine()
    second.build(results=Shared(address=Address.of(server.url)))
    assert not second.engine.calls


def test_no_password_of_a_place_is_kept(tmp_path: Path) -> None:
    with serving(login="me:hunter2") as server:
        address = Address.of(server.url.replace("://", "://me:hunter2@"))
        first = machine(tmp_path, "first")
        first.build(results=Shared(address=address))
        assert len(server.asked("PUT")) > len(NEEDS)
        assert not any(b"hunter2" in content for content in server.objects.values())
    events = json.dumps([str(event) for event in first.events])
    assert "hunter2" not in events
    kept = [path.read_bytes() for path in (tmp_path / "first").rglob("*") if path.is_file()]
    assert not any(b"hunter2" in content for content in kept)


def test_what_nobody_foresaw_while_sharing_fails_no_unit(
    tmp_path: Path, shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farm.store.remote.listing_of", lambda *_: 1 / 0)
    first = machine(tmp_path, "first")
    assert first.build(results=shared).exit_code == 0
    assert any("was not shared: unexpected ZeroDivisionError" in text for text in said(first))
