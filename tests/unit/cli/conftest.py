"""The command in this process, in a world of its own; a small package index on the loopback."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import tarfile
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from farm.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


OF_SOMEBODY = ("PIP_", "UV_", "DOCKER_", "FARM_", "BUILDX_", "GITHUB_", "GITLAB_")


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Farm(Protocol):
    def __call__(self, *arguments: str) -> Ended: ...


@pytest.fixture
def farm(capsys: pytest.CaptureFixture[str]) -> Farm:
    def run(*arguments: str) -> Ended:
        try:
            code = main._run(list(arguments))
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        said = capsys.readouterr()
        return Ended(code, said.out, said.err)

    return run


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty current folder, an empty cache, and nobody's settings."""
    for name in os.environ:
        if name.startswith(OF_SOMEBODY) or "proxy" in name:
            monkeypatch.delenv(name)
    for name in ("MAX_JOBS", "NVCC_THREADS", "CFLAGS", "CXXFLAGS", "CMAKE_ARGS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FARM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-docker.sock")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


@dataclass
class Index:
    """A package index: projects with their files, served as PEP 691 says."""

    base: str = ""
    date: str | None = None
    projects: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    content: dict[str, bytes] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{self.base}/simple/"

    def add_sdist(
        self, name: str, version: str, *, requires: tuple[str, ...] = (), yanked: bool = False
    ) -> str:
        """Serve a source distribution; returns its sha256."""
        filename = f"{name.replace('-', '_')}-{version}.tar.gz"
        pyproject = f"[build-system]\nrequires = {json.dumps(requires)}\n".encode()
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            member = tarfile.TarInfo(f"{name}-{version}/pyproject.toml")
            member.size = len(pyproject)
            tar.addfile(member, io.BytesIO(pyproject))
        self.content[f"/files/{filename}"] = packed.getvalue()
        sha256 = hashlib.sha256(packed.getvalue()).hexdigest()
        self.projects.setdefault(name, []).append({
            "filename": filename,
            "url": f"{self.base}/files/{filename}",
            "hashes": {"sha256": sha256},
            "yanked": yanked,
        })  # fmt: skip
        return sha256

    def answer(self, path: str) -> tuple[bytes, str] | None:
        if path in self.content:
            return self.content[path], "application/octet-stream"
        name = path.removeprefix("/simple/").strip("/")
        if name not in self.projects:
            return None
        page = {"meta": {"api-version": "1.0"}, "name": name, "files": self.projects[name]}
        return json.dumps(page).encode(), "application/vnd.pypi.simple.v1+json"


class _Handler(http.server.BaseHTTPRequestHandler):
    index: Index

    def do_GET(self) -> None:
        found = self.index.answer(self.path)
        if found is None:
            self.send_error(404)
            return
        body, kind = found
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return self.index.date or super().date_time_string(timestamp)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in http.server
        pass


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    made = Index()
    handler = type("Handler", (_Handler,), {"index": made})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        made.base = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("PIP_INDEX_URL", made.url)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
