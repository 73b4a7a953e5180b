"""What the loopback server cannot show: certificates, redirections out of https, ends of chunked transfers."""

from __future__ import annotations

import http.client
import io
import socket
import ssl

import pytest
import requests
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import MaxRetryError, NameResolutionError, ProtocolError, SSLError
from urllib3.poolmanager import PoolManager

from synthseg_core.models.http import MirrorError, Policy, TransientError, _Session, get, host_of


def refused_certificate() -> requests.exceptions.SSLError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return requests.exceptions.SSLError(MaxRetryError(PoolManager(), "/x", SSLError(error)))


def unresolved() -> requests.exceptions.ConnectionError:
    cause = NameResolutionError("example.org", HTTPSConnection("example.org"), socket.gaierror(-2, "not known"))
    return requests.exceptions.ConnectionError(MaxRetryError(PoolManager(), "/x", cause))


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (refused_certificate(), MirrorError, r"a certificate that is not accepted \(self-signed certificate\)"),
        (unresolved(), MirrorError, "does not resolve"),
        (requests.exceptions.ConnectTimeout("timed out"), TransientError, "no answer within 3 s"),
        (
            requests.exceptions.ReadTimeout("timed out"),
            TransientError,
            "no answer within 3 s",
        ),
        (
            requests.exceptions.ConnectionError(ProtocolError("aborted", ConnectionResetError(104, "reset by peer"))),
            TransientError,
            "reset by peer",
        ),
        (ConnectionAbortedError(), TransientError, "ConnectionAbortedError"),
        (requests.exceptions.ConnectionError(http.client.BadStatusLine("junk")), TransientError, "junk"),
        (requests.exceptions.InvalidURL("nonnumeric port: 'x'"), MirrorError, "nonnumeric port"),
        (requests.exceptions.TooManyRedirects("30"), MirrorError, "redirections without end"),
    ],
)
def test_faults_of_the_network_are_named(monkeypatch, error, kind, said):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(_Session, "get", refuse)
    with pytest.raises(kind, match=said), get("https://example.org/x", 0, None, Policy(timeout_s=3)):
        pass


def redirected(target: str) -> requests.Response:
    response = requests.Response()
    response.status_code, response.url = 302, "https://example.org/"
    response.headers["Location"] = target
    response.raw = io.BytesIO()
    return response


@pytest.mark.parametrize("target", ["http://example.org/x", "ftp://example.org/x", "data:text/plain,x"])
def test_redirections_out_of_https_are_refused(target):
    with pytest.raises(MirrorError, match="a redirection from https to"):
        _Session().get_redirect_target(response := redirected(target))
    assert response.raw.closed


@pytest.mark.parametrize("target", ["https://other.example/x", "/elsewhere", "//other.example/x"])
def test_redirections_within_https_are_followed(target):
    assert _Session().get_redirect_target(redirected(target)) == target


def test_certificates_of_the_system_are_trusted(monkeypatch, tmp_path):
    """Hospitals have authorities of their own, which their computers know."""
    (tmp_path / "own.pem").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
    assert _Session().verify == str(tmp_path / "own.pem")


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
