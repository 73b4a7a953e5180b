"""What the loopback server cannot show: certificates, redirections out of https, ends of chunked transfers."""

from __future__ import annotations

import io
import socket
import ssl
from urllib.error import URLError
from urllib.request import Request

import pytest

from synthseg_core.models import http
from synthseg_core.models.http import MirrorError, Policy, TransientError, get, host_of


class RefusingOpener:
    def __init__(self, error):
        self.error = error

    def open(self, request, timeout):
        raise self.error


def refused_certificate() -> URLError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return URLError(error)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (refused_certificate(), MirrorError, r"a certificate that is not accepted \(self-signed certificate\)"),
        (URLError(socket.gaierror(-2, "Name or service not known")), MirrorError, "does not resolve"),
        (URLError(TimeoutError("timed out")), TransientError, "no answer within 3 s"),
        (ConnectionResetError(104, "Connection reset by peer"), TransientError, "Connection reset by peer"),
        (ConnectionAbortedError(), TransientError, "ConnectionAbortedError"),
        (http.http.client.BadStatusLine("junk"), TransientError, "junk"),
        (http.http.client.InvalidURL("nonnumeric port: 'x'"), MirrorError, "nonnumeric port"),
    ],
)
def test_faults_of_the_network_are_named(monkeypatch, error, kind, said):
    monkeypatch.setattr(http, "_opener", lambda: RefusingOpener(error))
    with pytest.raises(kind, match=said), get("https://example.org/x", 0, None, Policy(timeout_s=3)):
        pass


@pytest.mark.parametrize("target", ["http://example.org/x", "ftp://example.org/x", "data:text/plain,x"])
def test_redirections_out_of_https_are_refused(target):
    body = io.BytesIO()
    with pytest.raises(MirrorError, match="a redirection from https to"):
        http._Redirects().redirect_request(Request("https://example.org/"), body, 302, "Found", {}, target)
    assert body.closed


def test_a_redirection_within_https_keeps_the_range():
    request = Request("https://example.org/", headers={"Range": "bytes=7-"})
    following = http._Redirects().redirect_request(request, io.BytesIO(), 302, "Found", {}, "https://other.example/x")
    assert following is not None
    assert following.get_header("Range") == "bytes=7-"


def test_a_chunked_transfer_that_ends_early_can_be_tried_again(server):
    def chunked(handler, content):
        handler.reply(200, {"Transfer-Encoding": "chunked"}, b"5\r\nhello\r\n40\r\nnot all of it")

    with get(server.put("x", b"", chunked), 0, None, Policy(timeout_s=3)) as reply:
        assert (reply.start, reply.size_bytes, reply.validator) == (0, None, None)
        with pytest.raises(TransientError, match="failed"):
            list(reply.blocks)


def test_host_of():
    assert host_of("https://user:secret@Example.org:8080/x") == "example.org"
    assert host_of("nonsense") == "nonsense"
    assert host_of("http://[::1/x") == "http://[::1/x"
