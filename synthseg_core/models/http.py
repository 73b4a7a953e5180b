"""HTTP downloads that can go on where they stopped, from servers that may cut, stall, or answer something else."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import requests
from requests import exceptions
from urllib3.exceptions import HTTPError, NameResolutionError, ReadTimeoutError

from synthseg_core import __version__

_BLOCK_BYTES = 1 << 16
_SCHEMES = ("http", "https")
_MOST_REDIRECTIONS = 10
_TRY_AGAIN = (408, 425, 429)
_RANGE_NOT_SATISFIABLE = 416
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_NO_ADDRESS = (exceptions.InvalidURL, exceptions.MissingSchema, exceptions.InvalidSchema, exceptions.InvalidHeader)


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
    with _Session() as session:
        try:
            response = session.get(url, headers=_headers(offset, validator), timeout=policy.timeout_s, stream=True)
        except (OSError, ValueError) as error:  # ValueError: addresses that cannot be taken apart
            raise _named(error, policy) from error
        with response:
            yield _reply(response, offset, validator, policy)


class _Session(requests.Session):
    """Trusts the certificates of the system; follows redirections, but not out of https and not to other protocols."""

    def __init__(self) -> None:
        super().__init__()
        self.max_redirects = _MOST_REDIRECTIONS
        self.verify = ssl.get_default_verify_paths().cafile or True

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return where a redirection leads, or refuse to go there.

        The connection is not used again: it may be closed already, and that would look like a fault of the server.
        """
        target = super().get_redirect_target(resp)
        if target is not None:
            before, after = urlsplit(resp.url).scheme, urlsplit(urljoin(resp.url, target)).scheme
            if after not in _SCHEMES or (before == "https" and after == "http"):
                resp.close()
                raise MirrorError(f"a redirection from {before} to {after}")
            self.get_adapter(resp.url).close()
        return target


def _headers(offset: int, validator: str | None) -> dict[str, str]:
    headers = {"User-Agent": f"synthseg-bids/{__version__}", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if validator:
            headers["If-Range"] = validator
    return headers


def _named(error: Exception, policy: Policy) -> Exception:
    """Return our own error for one of the network's."""
    if isinstance(error, (exceptions.Timeout, ReadTimeoutError, TimeoutError)):
        return TransientError(f"no answer within {policy.timeout_s:g} s")
    if any(isinstance(cause, NameResolutionError) for cause in _causes(error)):
        return MirrorError("a host name that does not resolve")
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return MirrorError(f"a certificate that is not accepted ({cause.verify_message})")
    if isinstance(error, exceptions.TooManyRedirects):
        return MirrorError("redirections without end")
    if isinstance(error, _NO_ADDRESS) or not isinstance(error, (OSError, HTTPError)):
        return MirrorError(f"an address that cannot be used ({error})")
    reason = list(_causes(error))[-1]
    return TransientError(f"a connection that failed ({str(reason) or type(reason).__name__})")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it tells of, the first cause last."""
    told: BaseException | None = error
    while told is not None:
        yield told
        inner = [one for one in (getattr(told, "reason", None), *told.args) if isinstance(one, BaseException)]
        told = inner[0] if inner else told.__cause__ or told.__context__


def _status_error(code: int, reason: str) -> Exception:
    text = " ".join(f"HTTP {code} {reason}".split()[:12])
    if code == _RANGE_NOT_SATISFIABLE:
        return RangeError(text)
    return TransientError(text) if code in _TRY_AGAIN or code >= 500 else MirrorError(text)


def _reply(response: requests.Response, offset: int, validator: str | None, policy: Policy) -> Reply:
    if response.status_code >= 400:
        raise _status_error(response.status_code, response.reason or "")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise MirrorError("a compressed transfer that was not asked for")
    etag = response.headers.get("ETag", "")
    strong = etag if etag.startswith('"') else None
    blocks = _blocks(response, policy)
    if response.status_code == 200:
        return Reply(0, _length(response.headers.get("Content-Length")), strong, blocks)
    if response.status_code != 206:
        raise MirrorError(f"HTTP {response.status_code}")
    parsed = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if not parsed or int(parsed[1]) != offset:
        raise RangeError("an answer for another range than asked for")
    if validator and strong and strong != validator:
        raise RangeError("a file that changed on the server")
    return Reply(offset, _length(parsed[3]), strong, blocks)


def _length(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _blocks(response: requests.Response, policy: Policy) -> Iterator[bytes]:
    """Yield what arrives, as it arrives: waiting for full blocks would hide a stall."""
    began, received = time.monotonic(), 0
    response.raw.enforce_content_length = False  # what is missing is told with the numbers of the whole file
    while True:
        try:
            block = response.raw.read1(_BLOCK_BYTES)
        except (OSError, HTTPError) as error:
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
