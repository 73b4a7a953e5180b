"""Downloads from servers that cut, lie, stall, and serve other things."""

from __future__ import annotations

import dataclasses
import time
from types import SimpleNamespace

import pytest

from synthseg_core.errors import FetchError
from synthseg_core.models import download as fetch_module
from synthseg_core.models.card import WeightsFile
from synthseg_core.models.download import Fetched, fetch, mirrors_of
from synthseg_core.models.http import Policy
from tests.unit.models import loopback_server as server_side
from tests.unit.models.downloads import CONTENT, FAST, Listener, assert_clean, starts, weights
from tests.unit.models.loopback_server import Loopback, serve

POINTER = b"/annex/objects/SHA256E-s53079152--f190bfd742f450ef3ca2c9df9ed4d2e0232b3a74471da5e51b7770bacdf80c3e.0.h5\n"
PAGE = b"<!DOCTYPE html>\n<html><body>Please sign in</body></html>"


# Plain sailing


def test_a_file_is_fetched_verified_and_reported(server, target):
    listener = Listener()
    done = fetch(weights(server.put("net.h5", CONTENT)), target, policy=FAST, watcher=listener)
    assert done == Fetched(target, "127.0.0.1")
    assert_clean(target)
    assert listener.notes == ["net.h5 from 127.0.0.1"]
    assert listener.received[-1] == (len(CONTENT), len(CONTENT))
    assert listener.received == sorted(listener.received)
    assert server.requests[0].agent.startswith("synthseg-bids/")


def test_a_file_that_is_there_is_not_asked_for(server, target):
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    assert fetch(weights(server.put("net.h5", CONTENT)), target, policy=FAST) == Fetched(target, None)
    assert server.requests == []


def test_a_file_that_is_there_but_differs_is_replaced(server, target):
    target.parent.mkdir()
    target.write_bytes(CONTENT[:-1] + b"x")
    fetch(weights(server.put("net.h5", CONTENT)), target, policy=FAST)
    assert_clean(target)


def test_a_card_without_size_and_one_without_anything(server, target):
    url = server.put("net.h5", CONTENT)
    fetch(weights(url, size_bytes=None), target, policy=FAST)
    assert_clean(target)
    target.unlink()
    fetch(weights(url, size_bytes=None, sha256=None), target, policy=FAST)
    assert_clean(target)


def test_redirections_are_followed(server, target):
    server.put("real", CONTENT, server_side.cut_after(1000), serve)
    fetch(weights(server.put("net.h5", b"", server_side.redirect(f"{server.url}/real"))), target, policy=FAST)
    assert_clean(target)
    assert starts(server) == [None, None, 1000, 1000]  # a range survives the redirection


def test_a_server_without_length(server, target):
    def without_length(handler, content):
        handler.reply(200, {"Connection": "close"}, content)

    fetch(weights(server.put("net.h5", CONTENT, without_length)), target, policy=FAST)
    assert_clean(target)


# Cut connections


def test_a_cut_connection_goes_on_where_it_stopped(server, target):
    cuts = [server_side.cut_after(100_000), server_side.cut_after(50_000), server_side.cut_after(1)]
    fetch(weights(server.put("net.h5", CONTENT, *cuts, serve)), target, policy=FAST)
    assert_clean(target)
    assert starts(server) == [None, 100_000, 150_000, 150_001]


def test_a_server_that_always_cuts_early_is_given_up(server, target):
    url = server.put("net.h5", CONTENT, server_side.cut_after(0))
    with pytest.raises(FetchError, match=r"127.0.0.1: a connection cut after 0 of 409608 bytes"):
        fetch(weights(url), target, policy=FAST)
    assert len(server.requests) == FAST.attempts
    assert not target.exists()


def test_a_server_that_cuts_and_knows_no_ranges_is_given_up(server, target):
    url = server.put("net.h5", CONTENT, server_side.cut_after(200_000, ranges=False))
    with pytest.raises(FetchError, match="cut after 200000 of 409608"):
        fetch(weights(url), target, policy=FAST)
    assert len(server.requests) == FAST.attempts


def test_bytes_are_kept_for_the_next_call(server, target):
    url = server.put("net.h5", CONTENT, server_side.cut_after(300_000), server_side.status(503), serve)
    with pytest.raises(FetchError):
        fetch(weights(url), target, policy=dataclasses.replace(FAST, attempts=1))
    assert not target.exists()
    with pytest.raises(FetchError, match="HTTP 503"):
        fetch(weights(url), target, policy=dataclasses.replace(FAST, attempts=1))
    fetch(weights(url), target, policy=FAST)
    assert_clean(target)
    assert starts(server) == [None, 300_000, 300_000]


def test_the_next_mirror_goes_on_where_the_first_one_stopped(server, target):
    first = server.put("a", CONTENT, server_side.cut_after(300_000), server_side.status(404))
    fetch(weights(first, server.put("b", CONTENT)), target, policy=FAST)
    assert_clean(target)
    assert [(request.path, request.start) for request in server.requests] == [
        ("/a", None),
        ("/a", 300_000),
        ("/b", 300_000),
    ]


def test_a_download_that_was_complete_but_not_installed_is_not_asked_for(server, target):
    target.parent.mkdir()
    target.with_name("net.h5.part").write_bytes(CONTENT)
    fetch(weights(server.put("net.h5", CONTENT)), target, policy=FAST)
    assert_clean(target)
    assert server.requests == []


def test_a_part_that_is_too_long_is_thrown_away(server, target):
    target.parent.mkdir()
    target.with_name("net.h5.part").write_bytes(CONTENT + b"x")
    fetch(weights(server.put("net.h5", CONTENT)), target, policy=FAST)
    assert_clean(target)
    assert starts(server) == [None]


@pytest.mark.parametrize("note", [b"{", b"{}", b'{"mirror": 3, "index": 0, "base": 0, "validator": null}'])
def test_a_damaged_note_about_the_origin_does_no_harm(server, target, note):
    target.parent.mkdir()
    target.with_name("net.h5.part").write_bytes(CONTENT[:1000])
    target.with_name("net.h5.part.json").write_bytes(note)
    fetch(weights(server.put("net.h5", CONTENT)), target, policy=FAST)
    assert_clean(target)


# Lies about ranges


def test_a_server_that_ignores_ranges_starts_over(server, target):
    script = [server_side.cut_after(100_000), server_side.ignoring_ranges]
    fetch(weights(server.put("net.h5", CONTENT, *script)), target, policy=FAST)
    assert_clean(target)
    assert starts(server) == [None, 100_000]


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (server_side.claiming_range(start_shift=5), "another range"),
        (server_side.claiming_range(start_shift=-100_000), "another range"),
        (server_side.claiming_range(header=False), "another range"),
        (server_side.claiming_range(total_shift=7), "409615 bytes instead of 409608"),
        (server_side.status(416), "HTTP 416"),
    ],
)
def test_a_lie_about_the_range_means_starting_over(server, target, lie, said):
    listener = Listener()
    script = [server_side.cut_after(100_000), lie, serve]
    fetch(weights(server.put("net.h5", CONTENT, *script)), target, policy=FAST, watcher=listener)
    assert_clean(target)
    assert starts(server) == [None, 100_000, None]
    assert any(said in note and "starting again" in note for note in listener.notes)


def test_a_server_that_always_lies_is_given_up(server, target):
    cut = server_side.cut_after(100_000)
    lie = server_side.claiming_range(start_shift=1)

    def behave(handler, content):
        (cut if handler.start is None else lie)(handler, content)

    listener = Listener()
    with pytest.raises(FetchError, match="cut after 100000"):
        fetch(weights(server.put("net.h5", CONTENT, behave)), target, policy=FAST, watcher=listener)
    assert any("another range" in note for note in listener.notes)
    assert len(server.requests) == FAST.attempts


def test_other_bytes_behind_a_good_range_are_noticed_and_fetched_again(server, target):
    listener = Listener()
    script = [server_side.cut_after(100_000), server_side.shifted_bytes, serve]
    fetch(weights(server.put("net.h5", CONTENT, *script)), target, policy=FAST, watcher=listener)
    assert_clean(target)
    assert starts(server) == [None, 100_000, None]
    assert any("damaged (SHA-256" in note for note in listener.notes)


def test_a_file_that_changes_between_connections_starts_over(server, target):
    old = b"\x89HDF\r\n\x1a\n" + bytes(len(CONTENT) - 8)

    def first(handler, content):
        handler.reply(200, {"Content-Length": len(old), "ETag": '"old"'}, old[:100_000])

    fetch(weights(server.put("net.h5", CONTENT, first, serve)), target, policy=FAST)
    assert_clean(target)
    assert [(request.start, request.if_range) for request in server.requests] == [(None, None), (100_000, '"old"')]


def test_another_etag_in_a_partial_answer_means_starting_over(server, target):
    def first(handler, content):
        handler.reply(200, {"Content-Length": len(content), "ETag": '"old"'}, content[:100_000])

    def careless(handler, content):
        headers = server_side._range_headers(content, handler.start) | {"ETag": '"new"'}
        handler.reply(206, headers, content[handler.start :])

    fetch(weights(server.put("net.h5", CONTENT, first, careless, serve)), target, policy=FAST)
    assert_clean(target)
    assert starts(server) == [None, 100_000, None]


def test_weak_etags_are_not_used(server, target):
    def first(handler, content):
        handler.reply(200, {"Content-Length": len(content), "ETag": 'W/"weak"'}, content[:1000])

    fetch(weights(server.put("net.h5", CONTENT, first, serve)), target, policy=FAST)
    assert server.requests[1].if_range is None


def test_without_a_checksum_only_an_etag_allows_going_on(server, target):
    unchecked = {"size_bytes": None, "sha256": None}

    def tagged(handler, content):
        handler.reply(200, {"Content-Length": len(content), "ETag": '"one"'}, content[:1000])

    fetch(weights(server.put("a", CONTENT, tagged, serve), **unchecked), target, policy=FAST)
    assert_clean(target)
    target.unlink()
    fetch(weights(server.put("b", CONTENT, server_side.cut_after(1000), serve), **unchecked), target, policy=FAST)
    assert_clean(target)
    assert [(request.path, request.start) for request in server.requests] == [
        ("/a", None),
        ("/a", 1000),
        ("/b", None),
        ("/b", None),
    ]


# Something else than the file


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (server_side.instead(POINTER), "a git-annex pointer"),
        (server_side.instead(b"version https://git-lfs.github.com/spec/v1\n"), "a git-lfs pointer"),
        (server_side.instead(PAGE), "a web page in place of the data"),
        (server_side.instead(b""), "an empty file"),
        (server_side.instead(CONTENT[:-1]), "409607 bytes instead of 409608"),
        (server_side.instead(CONTENT[:-1] + b"x"), r"SHA-256 [0-9a-f]{12}... instead of"),
        (server_side.with_header("Content-Encoding", "gzip"), "a compressed transfer"),
        (server_side.status(404), "HTTP 404"),
        (server_side.status(407), "HTTP 407"),
        (server_side.status(204, b""), "HTTP 204"),
        (server_side.endless, "more than 409608 bytes"),
        (server_side.redirect("/net.h5"), "redirections without end"),
        (server_side.redirect("ftp://127.0.0.1/net.h5"), "a redirection from http to ftp"),
        (server_side.redirect("http://[::1/"), "an address that cannot be used"),
        (server_side.redirect("file:///etc/passwd"), "a redirection from http to file"),
    ],
)
def test_what_a_mirror_serves_instead_is_named_and_the_next_one_is_asked(server, target, behaviour, said):
    listener = Listener()
    bad = server.put("net.h5", CONTENT, behaviour)
    with pytest.raises(FetchError, match=f"127.0.0.1: ({said})"):
        fetch(weights(bad), target, policy=FAST)
    assert not target.exists()
    fetch(weights(bad, server.put("good", CONTENT)), target, policy=FAST, watcher=listener)
    assert_clean(target)
    assert listener.notes[-1] == "net.h5 from 127.0.0.1"


def test_a_web_page_in_place_of_the_rest_is_noticed(server, target):
    def page(handler, content):
        handler.reply(206, server_side._range_headers(content, handler.start), PAGE.ljust(len(content), b" "))

    url = server.put("net.h5", CONTENT, server_side.cut_after(1000), page, serve)
    fetch(weights(url), target, policy=FAST)
    assert_clean(target)


def test_a_server_error_is_tried_again(server, target):
    script = [server_side.status(500), server_side.status(429), serve]
    fetch(weights(server.put("net.h5", CONTENT, *script)), target, policy=FAST)
    assert_clean(target)


def test_the_error_lists_every_mirror_on_one_line(server, target):
    mirrors = (
        server.put("a", CONTENT, server_side.instead(PAGE)),
        f"{server.url}/nothing",
        "http://127.0.0.1:9/closed",
        "http://no-such-host.invalid/net.h5",
        "ftp://127.0.0.1/net.h5",
        "file:///etc/passwd",
        "http://[::1/net.h5",
        "http:///net.h5",
    )
    with pytest.raises(FetchError) as caught:
        fetch(weights(*mirrors), target, policy=FAST)
    message = str(caught.value)
    for said in (
        "net.h5",
        "127.0.0.1: a web page",
        "HTTP 404",
        "a connection that failed",
        "no-such-host.invalid: a host name that does not resolve",
        "neither http nor https",
        "http://[::1/net.h5: an address that cannot be used",
        "409608 bytes with SHA-256",
        "synthseg models import",
    ):
        assert said in message
    assert "\n" not in message


def test_a_card_without_mirrors(target):
    with pytest.raises(FetchError, match="no mirror in its model card"):
        fetch(weights(), target, policy=FAST)


# Slow servers


def test_silence_is_given_up(server, target):
    url = server.put("net.h5", CONTENT, server_side.silent(1.0))
    began = time.monotonic()
    with pytest.raises(FetchError, match=r"no answer within 0.2 s"):
        fetch(weights(url), target, policy=dataclasses.replace(FAST, timeout_s=0.2, attempts=2))
    assert time.monotonic() - began < 5


def test_silence_in_the_middle_is_given_up_and_continued(server, target):
    url = server.put("net.h5", CONTENT, server_side.trickling(200_000, 1.0), serve)
    fetch(weights(url), target, policy=dataclasses.replace(FAST, timeout_s=0.2))
    assert_clean(target)
    assert starts(server) == [None, 200_000]


def test_a_trickle_is_given_up_although_it_never_stops(server, target):
    slow = dataclasses.replace(FAST, slow_bytes_per_s=10_000, slow_after_s=0.3, attempts=1)
    url = server.put("net.h5", CONTENT, server_side.trickling(10, 0.02))
    with pytest.raises(FetchError, match=r"a connection of \d+ bytes/s"):
        fetch(weights(url), target, policy=slow)
    assert 0 < target.with_name("net.h5.part").stat().st_size < 10_000


def test_a_slow_but_steady_server_is_not_given_up(server, target):
    steady = dataclasses.replace(FAST, slow_bytes_per_s=10_000, slow_after_s=0.1)
    fetch(weights(server.put("net.h5", CONTENT, server_side.trickling(40_000, 0.03))), target, policy=steady)
    assert starts(server) == [None]


def test_pauses_grow_and_stay_bounded(server, target, monkeypatch):
    pauses = []
    monkeypatch.setattr(fetch_module, "time", SimpleNamespace(sleep=pauses.append))  # not that of other threads
    url = server.put("net.h5", CONTENT, server_side.status(500))
    with pytest.raises(FetchError):
        fetch(weights(url), target, policy=Policy(attempts=8, timeout_s=5))
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


# Files in parts


def parts_of(server: Loopback, *behaviours) -> tuple[str, ...]:
    pieces = (CONTENT[:150_000], CONTENT[150_000:300_000], CONTENT[300_000:])
    return tuple(server.put(f"net.h5.00{i}", piece, *behaviours) for i, piece in enumerate(pieces))


def test_parts_are_joined(server, target):
    fetch(weights(parts_of(server)), target, policy=FAST)
    assert_clean(target)
    assert len(server.requests) == 3


def test_every_part_may_be_cut(server, target):
    fetch(weights(parts_of(server, server_side.cut_after(60_000), serve)), target, policy=FAST)
    assert_clean(target)
    assert starts(server) == [None, 60_000] * 3


def test_parts_go_on_in_the_next_call(server, target):
    urls = parts_of(server)
    server.scripts["/net.h5.001"] = [server_side.cut_after(1000), server_side.status(404), serve]
    with pytest.raises(FetchError):
        fetch(weights(urls), target, policy=FAST)
    fetch(weights(urls), target, policy=FAST)
    assert_clean(target)
    asked = [(request.path[-1], request.start) for request in server.requests]
    assert asked == [("0", None), ("1", None), ("1", 1000), ("1", 1000), ("2", None)]


def test_another_mirror_in_parts_starts_over(server, target):
    first = server.put("a", CONTENT, server_side.cut_after(160_000), server_side.status(404))
    fetch(weights(first, parts_of(server)), target, policy=FAST)
    assert_clean(target)
    assert starts(server)[2:] == [None, None, None]


def test_a_mirror_in_one_piece_goes_on_after_parts(server, target):
    urls = parts_of(server)
    server.scripts["/net.h5.001"] = [server_side.status(404)]
    fetch(weights(urls, server.put("b", CONTENT)), target, policy=FAST)
    assert_clean(target)
    assert starts(server)[-1] == 150_000


def test_a_pointer_in_place_of_a_part(server, target):
    urls = parts_of(server)
    server.scripts["/net.h5.002"] = [server_side.instead(POINTER)]
    with pytest.raises(FetchError, match="git-annex pointer"):
        fetch(weights(urls), target, policy=FAST)


def test_mirrors_are_lists_of_addresses():
    assert mirrors_of(WeightsFile("f", urls=("a", ("b", "c")))) == (("a",), ("b", "c"))
