"""A web server on the loopback that misbehaves on request, for tests of downloads."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Behaviour = Callable[["Handler", bytes], None]


@dataclass
class Request:
    """What a client asked for."""

    path: str
    start: int | None
    if_range: str | None
    agent: str


@dataclass
class Loopback:
    """Files, and a list of behaviours for each: every request takes the next one, the last one stays."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    scripts: dict[str, list[Behaviour]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, name: str, content: bytes, *behaviours: Behaviour) -> str:
        """Serve a file and return its address."""
        self.files[f"/{name}"] = content
        self.scripts[f"/{name}"] = list(behaviours) or [serve]
        return f"{self.url}/{name}"

    def next_behaviour(self, path: str) -> Behaviour:
        with self.lock:
            script = self.scripts.get(path, [status(404)])
            return script.pop(0) if len(script) > 1 else script[0]


class Handler(BaseHTTPRequestHandler):
    """Hands each request to a behaviour."""

    protocol_version = "HTTP/1.1"
    loopback: Loopback

    def do_GET(self) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        request = Request(
            self.path, int(asked[1]) if asked else None, self.headers.get("If-Range"), self.headers.get("User-Agent")
        )
        self.loopback.requests.append(request)
        self.start = request.start
        self.close_connection = True
        self.loopback.next_behaviour(self.path)(self, self.loopback.files.get(self.path, b""))

    def reply(self, code: int, headers: dict[str, object], body: bytes = b"") -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Keep silent."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address) -> None:
        """Clients that go away are part of the tests."""


@contextmanager
def loopback() -> Iterator[Loopback]:
    """Run a server until the block ends."""
    handler = type("BoundHandler", (Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    handler.loopback = Loopback(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield handler.loopback
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def serve(handler: Handler, content: bytes, etag: str = '"one"') -> None:
    """As a good server does: ranges, unless the file changed."""
    start = handler.start
    if handler.headers.get("If-Range") not in (None, etag):
        start = None
    if start is None:
        handler.reply(200, {"Content-Length": len(content), "ETag": etag}, content)
    elif start >= len(content):
        handler.reply(416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": 0})
    else:
        handler.reply(206, _range_headers(content, start) | {"ETag": etag}, content[start:])


def serve_as(etag: str) -> Behaviour:
    return lambda handler, content: serve(handler, content, etag)


def ignoring_ranges(handler: Handler, content: bytes) -> None:
    handler.reply(200, {"Content-Length": len(content)}, content)


def cut_after(size: int, *, ranges: bool = True) -> Behaviour:
    """Promise everything, send ``size`` bytes, hang up."""

    def behave(handler: Handler, content: bytes) -> None:
        start = handler.start if ranges else None
        headers = _range_headers(content, start) if start is not None else {"Content-Length": len(content)}
        first = start or 0
        handler.reply(206 if start is not None else 200, headers, content[first : first + size])

    return behave


def claiming_range(start_shift: int = 0, total_shift: int = 0, *, header: bool = True) -> Behaviour:
    """Answer a range request with a range other than the one asked for, or a wrong total, or no word about it."""

    def behave(handler: Handler, content: bytes) -> None:
        if handler.start is None:
            return serve(handler, content)
        first, total = handler.start + start_shift, len(content) + total_shift
        headers = {"Content-Length": len(content) - handler.start}
        if header:
            headers["Content-Range"] = f"bytes {first}-{total - 1}/{total}"
        return handler.reply(206, headers, content[handler.start :])

    return behave


def shifted_bytes(handler: Handler, content: bytes) -> None:
    """Say the right range and send other bytes."""
    start = handler.start or 0
    handler.reply(206 if start else 200, _range_headers(content, start), content[start:][::-1])


def status(code: int, body: bytes = b"no") -> Behaviour:
    return lambda handler, content: handler.reply(code, {"Content-Length": len(body)}, body)


def redirect(to: str) -> Behaviour:
    return lambda handler, content: handler.reply(302, {"Location": to, "Content-Length": 0})


def instead(body: bytes, **headers: object) -> Behaviour:
    """Answer 200 with something else."""
    return lambda handler, content: handler.reply(200, {"Content-Length": len(body), **headers}, body)


def with_header(name: str, value: str) -> Behaviour:
    return lambda handler, content: handler.reply(200, {"Content-Length": len(content), name: value}, content)


def trickling(size: int, pause_s: float) -> Behaviour:
    """Send ``size`` bytes at a time with pauses, for ever if the file is long enough."""

    def behave(handler: Handler, content: bytes) -> None:
        start = handler.start or 0
        handler.reply(206 if start else 200, _range_headers(content, start) if start else _length(content))
        for position in range(start, len(content), size):
            handler.wfile.write(content[position : position + size])
            handler.wfile.flush()
            time.sleep(pause_s)

    return behave


def silent(pause_s: float) -> Behaviour:
    """Take the request and say nothing."""
    return lambda handler, content: time.sleep(pause_s)


def endless(handler: Handler, content: bytes) -> None:
    """Send without end and without saying how much."""
    handler.reply(200, {})
    while True:
        handler.wfile.write(content)


def _length(content: bytes) -> dict[str, object]:
    return {"Content-Length": len(content)}


def _range_headers(content: bytes, start: int) -> dict[str, object]:
    return {
        "Content-Length": len(content) - start,
        "Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}",
    }
