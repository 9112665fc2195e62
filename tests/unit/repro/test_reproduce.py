"""Builds again from a bundle, on an engine that builds nothing."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from farm.debian import bases
from farm.engine.engine import MOUNTS_APART, BuildRequest
from farm.errors import BaseError, FetchError, OtherwiseError, UsageError
from farm.repro.grounds import Grounds, Setting, opened_at, opened_for
from farm.repro.reproduce import Verdict, completed, reproduce, said
from farm.repro.shell import prepared
from farm.repro.stages import stage_at
from farm.run.options import BuildOptions
from farm.source import debs
from farm.store.bundle import Ended
from tests.support.bundles import FAILED, bundle_at, remade
from tests.support.fake_engine import COMPILE, TRIAL, Ends, FakeEngine
from tests.support.farming import quiet

if TYPE_CHECKING:
    from pathlib import Path

UNIT = "demo@1.0.0:cpu"
ERROR = "thing.c:1:1: error: no such thing"


@pytest.fixture
def grounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Grounds:
    """Bases are made of nothing."""

    def made(base: Any, *_: object, **__: object) -> bases.BaseImage:
        resolved = bases._resolved(base, base.locked, "lock")
        return bases.BaseImage(
            tag=resolved.tag, digest=resolved.digest, origin="lock", image_id="", size_bytes=0,
            manifest_digest="", debs=(), archive=tmp_path,
        )  # fmt: skip

    monkeypatch.setattr(debs, "base_image", made)
    return Grounds(cache=tmp_path / "cache")


def again(
    path: Path, grounds: Grounds, *endings: tuple[str, Ends], engine: FakeEngine | None = None
) -> Any:
    engine = engine or FakeEngine()
    for step, ending in endings:
        engine.tell(UNIT, step, ending)
    with opened_for(str(path), grounds, trust_base=True) as opened:
        setting = Setting(
            cache=grounds.cache, options=BuildOptions(), sink=quiet, engine=engine,
            cancel=threading.Event(),
        )  # fmt: skip
        return reproduce(opened, setting)


@pytest.mark.parametrize(
    ("then", "ending", "verdict"),
    [
        (replace(FAILED, message=ERROR), (COMPILE, Ends.BADLY), Verdict.SAME),
        (FAILED, (COMPILE, Ends.BADLY), Verdict.ANOTHER),
        (replace(FAILED, message=ERROR), (COMPILE, Ends.WELL), Verdict.BUILT),
        (replace(FAILED, message=ERROR), (TRIAL, Ends.BADLY), Verdict.ANOTHER),
        (replace(FAILED, message=ERROR), (COMPILE, Ends.LOST), Verdict.NOT_TRIED),
        (
            Ended(outcome="failed", exit_code=16, step="smoke_test",
                  message="import fails in a clean container: no"),
            (TRIAL, Ends.BADLY), Verdict.SAME,
        ),
    ],
)  # fmt: skip
def test_how_it_ends_is_held_against_how_it_ended(
    tmp_path: Path, grounds: Grounds, then: Ended, ending: tuple[str, Ends], verdict: Verdict
) -> None:
    done = again(bundle_at(tmp_path, then), grounds, ending)
    assert done.verdict is verdict, said(done.now)
    if verdict in {Verdict.SAME, Verdict.NOT_TRIED}:
        done.require_same()
    else:
        with pytest.raises(OtherwiseError) as caught:
            done.require_same()
        assert caught.value.details == (f"then: {said(then)}", f"now:  {said(done.now)}")
    assert (done.folder / "bundle.tar").exists() == (done.now.outcome == "failed")
    assert not (grounds.cache / "kept").exists()


def test_the_bundle_of_a_build_again_holds_no_less(tmp_path: Path, grounds: Grounds) -> None:
    path = bundle_at(tmp_path)
    done = again(path, grounds, (COMPILE, Ends.BADLY))
    with opened_at(str(path), grounds) as first, opened_at(str(done.folder), grounds) as second:
        assert first.contents.blobs == second.contents.blobs
        assert first.contents.identity == second.contents.identity
        assert first.unit.base == second.unit.base


def arguments(engine: FakeEngine, step: str) -> list[tuple[tuple[str, str], ...]]:
    """What builds of a step were told."""
    asked = [call.asked for call in engine.calls if call.step == step]
    return [each.build_args for each in asked if isinstance(each, BuildRequest)]


def test_programs_of_others_share_no_cache_mount_with_ours(
    tmp_path: Path, grounds: Grounds
) -> None:
    engine = FakeEngine()
    again(bundle_at(tmp_path), grounds, engine=engine)
    assert [MOUNTS_APART in each for each in arguments(engine, COMPILE)] == [True]


@pytest.mark.parametrize("out", [".", "out"])
def test_a_shell_shares_them_where_the_bundle_is_our_own(
    tmp_path: Path, grounds: Grounds, out: str
) -> None:
    engine, path = FakeEngine(), bundle_at(tmp_path)
    here = replace(grounds, out=tmp_path / out)
    with opened_for(str(path), here, trust_base=True) as opened:
        setting = Setting(
            cache=grounds.cache, options=BuildOptions(), sink=quiet, engine=engine,
            cancel=threading.Event(),
        )  # fmt: skip
        prepared(opened, setting).image(COMPILE)
    (told,) = arguments(engine, COMPILE)
    assert (MOUNTS_APART in told) == (out == "out")


def test_a_base_that_nothing_here_names_is_not_made(tmp_path: Path, grounds: Grounds) -> None:
    path = bundle_at(tmp_path)
    with (
        pytest.raises(BaseError, match="packages that no lock here names") as caught,
        opened_for(str(path), grounds),
    ):
        pass
    assert "--trust-base" in caught.value.hint


def test_what_only_its_machine_has_and_it_lacks_is_told(tmp_path: Path, grounds: Grounds) -> None:
    path = remade(bundle_at(tmp_path), lambda c, _: replace(c, blobs=c.blobs[1:]))
    with opened_at(str(path), grounds) as opened, pytest.raises(FetchError) as caught:
        completed(opened, grounds.cache)
    assert "farm bundle" in caught.value.hint


@pytest.mark.parametrize("word", ["nothing", "demo", "latest"])
def test_a_word_that_means_nothing_is_told(grounds: Grounds, tmp_path: Path, word: str) -> None:
    for here in (grounds, replace(grounds, out=tmp_path / "out")):
        with pytest.raises(UsageError, match=word), opened_at(word, here):
            pass


DOCKERFILE = """\
FROM farm-base:x AS base
FROM base AS requirements
FROM requirements AS source
FROM source AS patched
FROM patched AS compile
FROM scratch AS result
"""


@pytest.mark.parametrize(
    ("step", "stage"),
    [("compile", "compile"), ("", "compile"), ("check", "compile"), ("smoke_test", "compile"),
     ("patched", "source"), ("requirements", "base")],
)  # fmt: skip
def test_a_step_leads_to_what_it_found_or_left(step: str, stage: str) -> None:
    assert stage_at(DOCKERFILE, step) == stage


def test_a_step_that_is_none_or_has_nothing_before_it_is_told() -> None:
    with pytest.raises(UsageError) as caught:
        stage_at(DOCKERFILE, "configure")
    assert "requirements, source, patched" in caught.value.hint
    with pytest.raises(UsageError, match="nothing is there before base"):
        stage_at(DOCKERFILE, "base")
