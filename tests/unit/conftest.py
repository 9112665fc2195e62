"""A real web server on the loopback, with faults on demand, and what the tests share."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from farm.store.blobs import Store

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from farm.events import Event


@dataclass
class Web:
    """Files by path; ``faults[path]`` are taken one per request, then it behaves.

    A fault is ``status N``, ``truncate N`` (bytes of what was declared),
    ``stall N`` (then nothing more, until the end), ``no-range`` or ``wrong-range``.
    """

    base: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    stalled: threading.Event = field(default_factory=threading.Event)
    servers: list[http.server.HTTPServer] = field(default_factory=list)

    def put(self, path: str, content: bytes) -> tuple[str, str]:
        """Serve a file; returns URL and sha256."""
        self.files[path] = content
        return f"{self.base}{path}", hashlib.sha256(content).hexdigest()

    def serve_tls(self, context: ssl.SSLContext) -> int:
        """Serve the same over TLS too, until the test ends; returns the port."""
        handler = type("TlsHandler", (_Handler,), {"web": self})
        server = _Server(("127.0.0.1", 0), handler)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        self.servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server.server_port

    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.requests]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    web: Web

    def do_GET(self) -> None:
        web = self.web
        path = self.path.partition("?")[0]
        web.requests.append((self.path, dict(self.headers)))
        verb, _, number = (web.faults[path].pop(0) if web.faults[path] else "").partition(" ")
        content = web.files.get(path)
        if content is None or verb == "status":
            self.send_error(int(number) if verb == "status" else 404)
            return
        start = 0 if verb == "no-range" else self._start(path, content)
        if start is None:
            self.send_error(416)
            return
        shown = 0 if verb == "wrong-range" else start
        self.send_response(206 if start else 200)
        if start:
            span = f"bytes {shown}-{len(content) - 1}/{len(content)}"
            self.send_header("Content-Range", span)
        if path in web.etags:
            self.send_header("ETag", web.etags[path])
        self.send_header("Content-Type", web.types.get(path, "application/octet-stream"))
        body = content[shown:]
        if verb != "no-length":
            self.send_header("Content-Length", str(len(body)))
        else:
            self.close_connection = True
        self.end_headers()
        self._send(body, verb, number)

    def do_HEAD(self) -> None:
        content = self.web.files.get(self.path)
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()

    def _start(self, path: str, content: bytes) -> int | None:
        span = self.headers.get("Range", "")
        condition = self.headers.get("If-Range")
        if not span or (condition and condition != self.web.etags.get(path)):
            return 0
        start = int(span.removeprefix("bytes=").rstrip("-"))
        return start if start < len(content) else None

    def _send(self, body: bytes, verb: str, number: str) -> None:
        if verb in {"truncate", "stall"}:
            self.close_connection = True
            body = body[: int(number)]
        try:
            self.wfile.write(body)
            self.wfile.flush()
            if verb == "stall":
                self.web.stalled.set()
                self.web.over.wait(60)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in http.server
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[Web]:
    made = Web()
    handler = type("Handler", (_Handler,), {"web": made})
    with _Server(("127.0.0.1", 0), handler) as server:
        made.base = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield made
        finally:
            made.over.set()
            server.shutdown()
            thread.join()
            for other in made.servers:
                other.shutdown()
                other.server_close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def sink(events: list[Event]) -> Callable[[Event], None]:
    return events.append


@pytest.fixture(autouse=True)
def _own_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the user's own git and pip settings reaches a test."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    for name in ("PIP_FIND_LINKS", "UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
