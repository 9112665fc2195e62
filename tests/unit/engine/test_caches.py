"""Caches of layers: what is handed to buildx, and what is refused before anything runs."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from farm.engine.buildx import build, command
from farm.engine.caches import LayerCache, parse_cache, require_apart, variables
from farm.engine.endpoint import Endpoint
from farm.engine.engine import BuildRequest
from farm.errors import EngineError, UsageError
from farm.events import Event, Notice
from farm.model.key import UnitKey

KEY = UnitKey(package="vllm", version="0.22.0", variant="empty+rust")
HERE = str(Path.cwd())
JOB = {"ACTIONS_RUNTIME_TOKEN": "t", "ACTIONS_RESULTS_URL": "u"}


@pytest.mark.parametrize(
    ("option", "text", "pairs"),
    [
        ("--cache-from", "type=local,src=/a", {"type": "local", "src": "/a"}),
        ("--cache-from", "type=local,src=a/b", {"type": "local", "src": f"{HERE}/a/b"}),
        ("--cache-from", 'type=local,"src=/a, b"', {"type": "local", "src": "/a, b"}),
        ("--cache-from", "host/name:tag", {"type": "registry", "ref": "host/name:tag"}),
        ("--cache-to", "type=local,dest=/a", {"type": "local", "dest": "/a", "mode": "max"}),
        (
            "--cache-to",
            "type=registry,ref=h/n:t,mode=min,ignore-error=true",
            {"type": "registry", "ref": "h/n:t", "mode": "min", "ignore-error": "true"},
        ),
        (
            "--cache-to",
            "type=s3,region=r,bucket=b,endpoint_url=https://x",
            {
                "type": "s3",
                "region": "r",
                "bucket": "b",
                "endpoint_url": "https://x",
                "mode": "max",
            },
        ),
        ("--cache-from", "type=gha,scope=x", {"type": "gha", "scope": "x"}),
    ],
)
def test_what_is_asked_for_reaches_buildx(option: str, text: str, pairs: dict[str, str]) -> None:
    assert dict(parse_cache(option, text, JOB).pairs) == pairs


@pytest.mark.parametrize(
    ("option", "text", "told"),
    [
        ("--cache-from", "", "''"),
        ("--cache-from", "type=", "no type of cache is called ''"),
        ("--cache-to", "src=/a", "no type of cache is called ''"),
        ("--cache-to", "type=inline", "'inline'"),
        ("--cache-to", "type=regsitry,ref=x", "'regsitry'"),
        ("--cache-from", "type=local,dest=/a", "type=local needs src"),
        ("--cache-to", "type=local,src=/a", "type=local needs dest"),
        ("--cache-to", "type=local,dest=", "type=local needs dest"),
        ("--cache-to", "type=registry", "type=registry needs ref"),
        ("--cache-to", "type=s3", "type=s3 needs region and bucket"),
        ("--cache-to", "type=gha", "ACTIONS_RUNTIME_TOKEN"),
        ("--cache-to", "type=local,dest", "'dest' is no name=value"),
        ("--cache-to", "type=local,dest=/a,", "'' is no name=value"),
        ("--cache-to", "type=local,--dest=/a", "'--dest' is no name=value"),
        ("--cache-to", "type=local,dest=/a,dest=/b", "dest is there twice"),
        ("--cache-to", "type=local,dest=/a\nb", "control characters"),
        ("--cache-to", 'type=local,"dest=/a', "no list of name=value"),
        ("--cache-to", "type=s3,region=r,bucket=b,secret_access_key=hush", "holds a secret"),
        ("--cache-from", "type=gha,token=hush", "holds a secret"),
        ("--cache-to", "type=s3,region=r,bucket=b,endpoint_url=https://u:hush@h/", "a secret"),
    ],
)
def test_what_buildx_would_not_take_is_refused(option: str, text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_cache(option, text, {})
    assert caught.value.message.startswith(f"{option}: ")
    assert told in caught.value.message
    assert "hush" not in f"{caught.value.message} {caught.value.hint}"


def test_each_unit_has_a_cache_of_its_own_or_is_alone() -> None:
    shared = parse_cache("--cache-to", "type=registry,ref=h/n:t")
    apart = parse_cache("--cache-to", "type=registry,ref=h/n:{unit}")
    require_apart((shared, apart), 1)
    require_apart((apart,), 7)
    with pytest.raises(UsageError, match="7 units would replace") as caught:
        require_apart((apart, shared), 7)
    assert "into its ref" in caught.value.hint
    assert dict(apart.of(KEY).fields)["ref"] == "h/n:vllm-0.22.0-empty_rust"
    assert shared.of(KEY) == shared


def test_only_the_services_asked_for_get_their_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("AWS_", "ACTIONS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("ACTIONS_RUNTIME_TOKEN", "t")
    monkeypatch.setenv("OTHER", "o")
    assert variables(()) == {}
    assert variables((LayerCache(kind="local"),)) == {}
    assert variables((LayerCache(kind="s3"),)) == {"AWS_ACCESS_KEY_ID": "a"}
    assert variables((LayerCache(kind="gha"),)) == {"ACTIONS_RUNTIME_TOKEN": "t"}


def request(folder: Path) -> BuildRequest:
    return BuildRequest(
        unit="a@1:cpu",
        context=folder,
        dockerfile=folder / "Dockerfile",
        target="result",
        output=folder / "out",
        cache_from=(LayerCache(kind="local", fields=(("src", "/a, b"),)),),
        cache_to=(LayerCache(kind="registry", fields=(("ref", "h/n:t"), ("mode", "max"))),),
    )


def run(folder: Path, script: str) -> list[Event]:
    path = folder / "buildx"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    told: list[Event] = []
    endpoint = Endpoint(name="fake", kind="private", docker=("true",), buildx=(str(path),))
    build(endpoint, request(folder), told.append, cancel=threading.Event())
    return told


def test_the_command_names_them(tmp_path: Path) -> None:
    endpoint = Endpoint(name="e", kind="user", docker=(), buildx=("buildx",))
    argv = command(endpoint, request(tmp_path))
    assert argv[argv.index("--cache-from") + 1] == 'type=local,"src=/a, b"'
    assert argv[argv.index("--cache-to") + 1] == "type=registry,ref=h/n:t,mode=max"


def said(text: str, status: int = 0) -> str:
    return f"cat >&2 <<'END'\n{text}\nEND\nexit {status}"


def vertex(name: str, error: str) -> str:
    return f'{{"vertexes":[{{"digest":"sha256:1","name":"{name}","error":"{error}"}}]}}'


@pytest.mark.parametrize(
    "text",
    [
        vertex("importing cache manifest from h/n:t", "not found"),
        "WARNING: local cache import at /a not found due to err: no such file",
    ],
)
def test_a_cache_that_gives_nothing_is_told_and_fails_nothing(tmp_path: Path, text: str) -> None:
    notices = [event for event in run(tmp_path, said(text)) if isinstance(event, Notice)]
    assert len(notices) == 1
    assert notices[0].unit == "a@1:cpu"
    assert notices[0].text.startswith("nothing was taken from a cache: ")
    assert "not found" in notices[0].text


REFUSED = vertex("exporting cache to registry", "dial tcp: connection refused")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "ERROR: Cache export is not supported for the docker driver.\nSwitch to a driver",
            "cannot export a cache",
            "containerd-snapshotter",
        ),
        ('ERROR: failed to solve: unknown cache exporter: "s3"', 'exporter: "s3"', "registry"),
        (
            f"{REFUSED}\nERROR: failed to solve: dial tcp: connection refused",
            "was built, but its cache could not be exported: dial tcp",
            "leave out --cache-to",
        ),
    ],
)
def test_a_cache_that_cannot_be_written_says_why_and_what_to_do(
    tmp_path: Path, text: str, message: str, hint: str
) -> None:
    with pytest.raises(EngineError) as caught:
        run(tmp_path, said(text, 1))
    assert message in caught.value.message
    assert hint in caught.value.hint
