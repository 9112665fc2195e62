"""A real server on the loopback that takes and gives objects, as a web server or a bucket does."""

from __future__ import annotations

import base64
import http.server
import socket
import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator


@dataclass
class ObjectServer:
    """Objects by path.  ``faults[method]`` is asked before each request and may answer itself.

    Where there is a ``login`` (``user:password``), nobody else is let in; PUT heeds
    ``If-None-Match: *``, as S3 has it.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=lambda: defaultdict(str))
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    before: Callable[[str, str], None] | None = None
    login: str = ""
    port: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.port}/shared"

    def asked(self, method: str) -> list[str]:
        return [path for verb, path, _ in self.requests if verb == method]

    def replace(self, end: str, content: bytes) -> None:
        """Put other content into all objects whose path ends so."""
        for path in self.objects:
            if path.endswith(end):
                self.objects[path] = content


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: ObjectServer

    def _handle(self, method: str) -> None:
        told = self.server_of
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        told.requests.append((method, self.path, {k.lower(): v for k, v in self.headers.items()}))
        if told.before is not None:
            told.before(method, self.path)
        verb, _, number = told.faults[method].partition(" ")
        if verb == "status":
            self._answer(int(number), b"<Error>secret=hunter2</Error>")
            return
        expected = base64.b64encode(told.login.encode()).decode()
        if told.login and self.headers.get("Authorization") != f"Basic {expected}":
            self._answer(401)
        elif method == "PUT":
            self._put(body)
        elif self.path not in told.objects:
            self._answer(404)
        else:
            self._give(told.objects[self.path], verb)

    def _put(self, body: bytes) -> None:
        objects = self.server_of.objects
        if self.headers.get("If-None-Match") == "*" and self.path in objects:
            self._answer(412)
            return
        objects[self.path] = body
        self._answer(201)

    def _give(self, content: bytes, fault: str) -> None:
        self.send_response(200)
        declared = len(content) + (10 if fault == "truncate" else 0)
        self.send_header("Content-Length", str(declared))
        self.send_header("ETag", '"0"')
        self.send_header("Last-Modified", "Tue, 01 Jan 1980 00:00:00 GMT")
        self.end_headers()
        if fault == "drip":
            self.wfile.flush()
            time.sleep(5)
        self.wfile.write(content)
        self.close_connection = fault == "truncate"

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("ETag", '"0"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self._handle("GET")

    def do_PUT(self) -> None:
        self._handle("PUT")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in http.server
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextmanager
def serving(login: str = "", tls: ssl.SSLContext | None = None) -> Iterator[ObjectServer]:
    """A server without objects, until the block is left."""
    made = ObjectServer(login=login, scheme="https" if tls else "http")
    handler = type("Handler", (_Handler,), {"server_of": made})
    with _Server(("127.0.0.1", 0), handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        made.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def refusing() -> Iterator[str]:
    """The URL of a port at which nobody listens, nor anybody else can meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://localhost:{bound.getsockname()[1]}/shared"
