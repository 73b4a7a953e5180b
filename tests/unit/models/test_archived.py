"""Models from archives: downloaded from a server that may lie, checked, unpacked and converted, or not there at all."""

from __future__ import annotations

import hashlib
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from synthseg_core.cli.main import main
from synthseg_core.errors import FetchError, InputError, OutputError
from synthseg_core.models import archived
from synthseg_core.models.archived import install
from synthseg_core.models.card import ArchiveFile, ModelCard
from synthseg_core.models.registry import load_card
from tests.phantoms.nnunet import HEAD_NAMES, RESIDUAL_HEAD, TrainedFolder
from tests.unit.models.downloads import FAST, Listener, forget_proxies
from tests.unit.models.loopback_server import cut_after, loopback, serve

FOLDER = "pred_DS108_LcsfP_Ano"


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    forget_proxies(monkeypatch)
    monkeypatch.setenv("SYNTHSEG_MODELS", str(tmp_path / "store"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("SIAM_MODEL_DIR", "nnUNet_results"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def content(tmp_path) -> bytes:
    """What is published."""
    trained = TrainedFolder(config=RESIDUAL_HEAD, patch=(16, 20, 24), labels=HEAD_NAMES)
    folder = trained.write(tmp_path / "published" / FOLDER)
    with tarfile.open(tmp_path / "published.tar.gz", "w:gz") as tar:
        tar.add(folder, FOLDER)
    return (tmp_path / "published.tar.gz").read_bytes()


def _card(content: bytes, *urls: str, **changes) -> ModelCard:
    """The card of SIAM with another archive."""
    card = load_card("siam-0.3")
    archive = ArchiveFile("a.tar.gz", FOLDER, urls, None, None, hashlib.md5(content).hexdigest())
    return replace(card, weights=replace(card.weights, archive=replace(archive, **changes)))


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock")) if folder.exists() else []


def test_downloaded_checked_unpacked_converted(tmp_path, content):
    """What stays is the model, and what is known of the archive by now."""
    store, listener = tmp_path / "store", Listener()
    with loopback() as server:
        card = _card(content, server.put("a.tar.gz", content))
        made = install(card, store, policy=FAST, watcher=listener)
    assert made == store / "siam-0.3.yaml"
    assert _names(store) == ["a.tar.gz.known.json", "siam-0.3.safetensors", "siam-0.3.tsv", "siam-0.3.yaml"]
    known = json.loads((store / "a.tar.gz.known.json").read_text())
    assert known["sha256"] == hashlib.sha256(content).hexdigest()
    assert known["size_bytes"] == len(content)
    assert load_card("siam-0.3").networks[0].config == RESIDUAL_HEAD
    assert listener.received[-1][0] == len(content)
    assert main(["models", "verify", "siam-0.3"]) == 0


def test_a_download_goes_on_where_it_was_cut(tmp_path, content):
    with loopback() as server:
        card = _card(content, server.put("a.tar.gz", content, cut_after(len(content) // 2), serve))
        install(card, tmp_path / "store", policy=FAST)
        assert [request.start for request in server.requests] == [None, len(content) // 2]


def test_another_archive_than_the_published_one(tmp_path, content):
    """By MD5 at first, by what was seen then afterwards; nothing of it stays."""
    store, other = tmp_path / "store", content + b"more"
    with loopback() as server:
        card = _card(content, server.put("a.tar.gz", other))
        with pytest.raises(FetchError, match="a.tar.gz: found MD5 .* the published one"):
            install(card, store, policy=FAST)
        assert _names(store) == []
        server.put("a.tar.gz", content)
        install(card, store, policy=FAST)
        server.put("a.tar.gz", other)
        with pytest.raises(FetchError, match="bytes instead of"):
            install(card, store, policy=FAST)
    assert not (store / "a.tar.gz").exists()


def test_a_hostile_archive_leaves_nothing(tmp_path):
    path = tmp_path / "bad.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo(f"{FOLDER}/plans.json")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    content = path.read_bytes()
    with loopback() as server, pytest.raises(InputError, match="a link, device or pipe"):
        install(_card(content, server.put("a.tar.gz", content)), tmp_path / "store", policy=FAST)
    assert not [name for name in _names(tmp_path / "store") if name.startswith((".tmp", "siam"))]


def test_the_disk_is_looked_at_before(tmp_path, content):
    with loopback() as server:
        card = _card(content, server.put("a.tar.gz", content), about_bytes=10**18)
        with pytest.raises(OutputError, match="less than 2600000000 GB free; .*free some space"):
            install(card, tmp_path / "store", policy=FAST)
        assert not server.requests


def test_what_siam_has_downloaded_is_taken(tmp_path, content, monkeypatch):
    """Without network: the folder is converted."""
    base = tmp_path / "siam"
    (base / "v0.3").mkdir(parents=True)
    (tmp_path / "published" / FOLDER).rename(base / "v0.3" / FOLDER)
    monkeypatch.setenv("SIAM_MODEL_DIR", str(base))
    monkeypatch.setattr(archived, "fetch", lambda *_, **__: pytest.fail("asked the network"))
    listener = Listener()
    assert install(load_card("siam-0.3"), tmp_path / "store", watcher=listener) == tmp_path / "store" / "siam-0.3.yaml"
    assert "no download is needed" in listener.notes[0]
    assert main(["models", "fetch", "siam-0.3"]) == 0


def test_an_archive_that_was_carried_here(tmp_path, content, capsys):
    """As a file, known by its name or by --model."""
    (tmp_path / f"{FOLDER}.tar.gz").write_bytes(content)
    assert main(["models", "import", str(tmp_path / f"{FOLDER}.tar.gz")]) == 0
    assert "use it as --model siam-0.3" in capsys.readouterr().out
    (tmp_path / "other.tgz").write_bytes(content)
    assert main(["models", "import", str(tmp_path / "other.tgz"), "--name", "mine"]) == 0
    assert load_card("mine").labels.names == HEAD_NAMES
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04")
    assert main(["models", "import", str(tmp_path / "bad.zip")]) == 2
    assert "damaged or truncated archive" in capsys.readouterr().err
