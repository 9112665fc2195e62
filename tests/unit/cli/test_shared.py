"""``--results`` and the keys, as they are typed."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from farm.errors import ExitCode
from tests.support.objects import refusing
from tests.support.projects import DEMO, project_at

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Farm

IMAGE = DEMO.replace("plain", "fromimage")


@pytest.fixture(autouse=True)
def project(world: Path) -> Path:
    project_at(world, {"recipes/demo.yaml": IMAGE})
    return world


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--results", ""), "--results names no place"),
        (("--results", "ftp://me:hunter2@host/x"), "cannot fetch from 'ftp://host/x'"),
        (("--results", "https://host/x?token=hunter2"), "has a query or a fragment"),
        (("--trust-key", "a.pem"), "--trust-key needs --results"),
        (("--results", "a", "--trust-key", "none.pem"), "none.pem cannot be read"),
        (("--results", "a", "--trust-key", "/dev/null"), "/dev/null is no key in PEM"),
    ],
)
@pytest.mark.parametrize("verb", ["build", "plan"])
def test_what_is_wrong_is_a_usage_error(
    farm: Farm, verb: str, words: tuple[str, ...], said: str
) -> None:
    ended = farm(verb, "demo", *words)
    assert (ended.code, said in ended.err) == (ExitCode.USAGE, True), ended.err
    assert "hunter2" not in ended.err


@pytest.mark.parametrize("content", [None, "", "hunter2", "public", "encrypted", "rsa"])
def test_what_is_no_key_to_sign_with_is_told_without_what_is_in_it(
    farm: Farm, world: Path, content: str | None
) -> None:
    key = world / "key.pem"
    openssl = {
        "public": "genpkey -algorithm ed25519 -outpubkey key.pem -out other.pem",
        "encrypted": "genpkey -algorithm ed25519 -aes256 -pass pass:hunter2 -out key.pem",
        "rsa": "genpkey -algorithm rsa -out key.pem",
    }
    if content in openssl:
        argv = ["openssl", *openssl[content].split()]
        done = subprocess.run(argv, cwd=world, check=False, capture_output=True)
        if content == "public" and done.returncode:  # older than OpenSSL 3.2
            key.write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    elif content is not None:
        key.write_text(content)
    ended = farm("build", "demo", "--results", "a", "--sign-key", str(key))
    assert ended.code == ExitCode.USAGE
    assert "key.pem" in ended.err
    assert "hunter2" not in ended.err


def test_a_plan_tells_of_a_place_that_cannot_be_asked_on_stderr(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refusing() as url:
        monkeypatch.setenv("FARM_RESULTS", url.replace("://", "://me:hunter2@"))
        ended = farm("plan", "demo", "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["units"]
    assert "shared results are not asked for" in ended.err
    assert "hunter2" not in ended.out + ended.err


def test_no_password_is_kept_of_what_was_typed(farm: Farm, world: Path) -> None:
    with refusing() as url:
        ended = farm("build", "demo", "--results", url.replace("://", "://me:hunter2@"))
    assert "hunter2" not in ended.out + ended.err
    runs = list((world / "out/.farm/runs").glob("2*/run.json"))
    assert runs
    assert "hunter2" not in "".join(path.read_text() for path in runs)
