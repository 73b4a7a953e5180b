"""HTTP downloads that can go on where they stopped, from servers that may cut, stall, or answer something else."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from synthseg_core import __version__

_BLOCK_BYTES = 1 << 16
_SCHEMES = ("http", "https")
_TRY_AGAIN = (408, 425, 429)
_RANGE_NOT_SATISFIABLE = 416
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_FAULTS = (OSError, http.client.HTTPException, ValueError)  # ValueError: addresses that cannot be taken apart


class MirrorError(Exception):
    """A server that will not give the file, however often it is asked."""


class TransientError(Exception):
    """A connection that may do better when it is tried again."""


class RangeError(TransientError):
    """An answer that does not continue what was received before; the download starts again from nothing."""


@dataclass(frozen=True)
class Policy:
    """Patience with servers.

    Parameters
    ----------
    timeout_s
        Longest silence, s.
    attempts
        Connections in a row that may fail without a gain of ``progress_bytes``.
    wait_s
        Pause after the first failure, s; doubled after each further one, 30 s at most.
    progress_bytes
        Bytes gained that count as progress.
    slow_bytes_per_s, slow_after_s
        A connection slower than this over so many seconds is given up.
    """

    timeout_s: float = 30.0
    attempts: int = 4
    wait_s: float = 1.0
    progress_bytes: int = 1 << 20
    slow_bytes_per_s: float = 1000.0
    slow_after_s: float = 60.0


@dataclass(frozen=True)
class Reply:
    """A server's answer.

    Parameters
    ----------
    start
        Offset of the first byte: the one asked for, or 0 when the server sends all of it.
    size_bytes
        Of the whole resource; ``None`` if the server does not say.
    validator
        Strong ETag, if there is one.
    blocks
        The bytes; raises ``TransientError`` when the connection fails.
    """

    start: int
    size_bytes: int | None
    validator: str | None
    blocks: Iterator[bytes]


def host_of(url: str) -> str:
    """Return the host of an address, for messages."""
    try:
        return urlsplit(url).hostname or url
    except ValueError:
        return url


@contextmanager
def get(url: str, offset: int, validator: str | None, policy: Policy) -> Iterator[Reply]:
    """Ask for a resource from an offset on.

    Parameters
    ----------
    url
        ``http`` or ``https``; proxy variables are honoured.
    offset
        Bytes that are there already.
    validator
        ETag that they came with; the server is to start over if it changed.
    policy
        Time limits and slowest speed.

    Raises
    ------
    MirrorError, TransientError, RangeError
        If the answer is of no use.
    """
    if not url.lower().startswith(tuple(f"{scheme}://" for scheme in _SCHEMES)):
        raise MirrorError("an address that is neither http nor https")
    try:
        request = urllib.request.Request(url, headers=_headers(offset, validator))
        response = _opener().open(request, timeout=policy.timeout_s)
    except _FAULTS as error:
        raise _named(error, policy) from error
    with response:
        yield _reply(response, offset, validator, policy)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but not out of https and not to other protocols."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        """Return the next request, or refuse."""
        before, after = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if after not in _SCHEMES or (before == "https" and after == "http"):
            fp.close()
            raise MirrorError(f"a redirection from {before} to {after}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener that knows http and https alone; proxies are read from the environment each time."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


def _headers(offset: int, validator: str | None) -> dict[str, str]:
    headers = {"User-Agent": f"synthseg-bids/{__version__}", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if validator:
            headers["If-Range"] = validator
    return headers


def _named(error: Exception, policy: Policy) -> Exception:
    """Return our own error for one of the network's."""
    if isinstance(error, HTTPError):
        error.close()
        return _status_error(error.code, str(error.reason))
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, TimeoutError):
        return TransientError(f"no answer within {policy.timeout_s:g} s")
    if isinstance(reason, socket.gaierror):
        return MirrorError("a host name that does not resolve")
    if isinstance(reason, ssl.SSLCertVerificationError):
        return MirrorError(f"a certificate that is not accepted ({reason.verify_message})")
    if isinstance(reason, (ValueError, http.client.InvalidURL)):
        return MirrorError(f"an address that cannot be used ({reason})")
    return TransientError(f"a connection that failed ({str(reason) or type(reason).__name__})")


def _status_error(code: int, reason: str) -> Exception:
    text = " ".join(f"HTTP {code} {reason}".split()[:12])
    if code == _RANGE_NOT_SATISFIABLE:
        return RangeError(text)
    return TransientError(text) if code in _TRY_AGAIN or code >= 500 else MirrorError(text)


def _reply(response: Any, offset: int, validator: str | None, policy: Policy) -> Reply:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise MirrorError("a compressed transfer that was not asked for")
    etag = response.headers.get("ETag", "")
    strong = etag if etag.startswith('"') else None
    blocks = _blocks(response, policy)
    if response.status == 200:
        return Reply(0, _length(response.headers.get("Content-Length")), strong, blocks)
    if response.status != 206:
        raise MirrorError(f"HTTP {response.status}")
    parsed = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if not parsed or int(parsed[1]) != offset:
        raise RangeError("an answer for another range than asked for")
    if validator and strong and strong != validator:
        raise RangeError("a file that changed on the server")
    return Reply(offset, _length(parsed[3]), strong, blocks)


def _length(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _blocks(response: Any, policy: Policy) -> Iterator[bytes]:
    """Yield what arrives, as it arrives: waiting for full blocks would hide a stall."""
    began, received = time.monotonic(), 0
    while True:
        try:
            block = response.read1(_BLOCK_BYTES)
        except _FAULTS as error:
            raise _named(error, policy) from error
        if not block:
            return
        yield block
        received += len(block)
        elapsed = time.monotonic() - began
        if elapsed > policy.slow_after_s:
            if received < policy.slow_bytes_per_s * elapsed:
                raise TransientError(f"a connection of {received / elapsed:.0f} bytes/s")
            began, received = time.monotonic(), 0
