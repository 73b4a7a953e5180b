"""The store of weights: verify, import, and what is left alone."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import yaml

from synthseg_core.errors import InputError, OutputError
from synthseg_core.models.keras_file import write_keras
from synthseg_core.models.registry import load_card
from synthseg_core.models.store import Condition, convert, import_folder, verify
from tests.privileges import ordinary_user
from tests.unit.models.downloads import forget_proxies
from tests.unit.models.test_keras_file import random_state

LABELS = "label\tname\tside\tcounterpart\ttopology_class\n0\tbackground\tneutral\t0\t0\n5\tthing\tneutral\t5\t1\n"


NETWORK = {"role": "segmenter", "prefix": "unet", "out_channels": 2, "features": 1, "levels": 2}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    forget_proxies(monkeypatch)
    monkeypatch.setenv("SYNTHSEG_MODELS", str(tmp_path / "store"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))


@pytest.fixture
def weights_file(tmp_path) -> Path:
    """Weights of a tiny model, as someone publishes them."""
    card = write_card(tmp_path / "first.yaml")
    spec = load_card(card).networks[0]
    write_keras(tmp_path / "published" / "tiny.h5", [(spec, random_state(spec))])
    return tmp_path / "published" / "tiny.h5"


def write_card(path: Path, *urls: str, published: Path | None = None) -> Path:
    """Write a user's own model card, for the file ``tiny.h5``."""
    content = published.read_bytes() if published else b""
    weights = {"file": "tiny.h5", "urls": list(urls), "licence": "CC0, for tests"}
    if published:
        weights |= {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    card = {
        "name": path.stem,
        "title": "Two classes",
        "family": "synthseg",
        "task": "segmentation",
        "label_table": "labels.tsv",
        "networks": [NETWORK],
        "weights": weights,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(card))
    path.with_name("labels.tsv").write_text(LABELS)
    return path


@pytest.fixture
def card(server, weights_file, tmp_path) -> Path:
    url = server.put("tiny.h5", weights_file.read_bytes())
    return write_card(tmp_path / "cards" / "tiny.yaml", url, published=weights_file)


def test_verify_without_a_published_checksum_reads_the_networks(tmp_path, weights_file):
    name = load_card(write_card(tmp_path / "published" / "plain.yaml"))
    assert verify(name).condition is Condition.UNKNOWN
    weights_file.write_bytes(weights_file.read_bytes()[:500])
    assert verify(name).condition is Condition.DAMAGED


@pytest.mark.parametrize("inside", ["", "models"])
@pytest.mark.parametrize("link", [False, True])
def test_import_takes_verified_files(card, tmp_path, weights_file, inside, link):
    installation = tmp_path / "freesurfer"
    (installation / inside).mkdir(parents=True, exist_ok=True)
    shutil.copy(weights_file, installation / inside)
    (installation / inside / "synthstrip.1.pt").write_bytes(b"other")
    (installation / inside / "labels.npy").write_bytes(b"no weights")
    outcomes = import_folder(installation, tmp_path / "store", [load_card(card)], link=link)
    assert [(outcome.source.name, outcome.detail) for outcome in outcomes] == [
        ("synthstrip.1.pt", "no model of ours"),
        ("tiny.h5", "linked" if link else "copied"),
    ]
    assert (tmp_path / "store" / "tiny.h5").is_symlink() == link
    assert verify(load_card(card)).condition is Condition.PUBLISHED
    again = import_folder(installation, tmp_path / "store", [load_card(card)], link=link)
    assert again[1].detail == "was there already"


def test_import_refuses_damaged_files_and_keeps_what_is_there(card, tmp_path, weights_file):
    installation, store = tmp_path / "freesurfer", tmp_path / "store"
    for folder in (installation, store):
        folder.mkdir()
    (store / "tiny.h5").write_bytes(b"old")
    (installation / "tiny.h5").write_bytes(b"/annex/objects/SHA256E-s1--2.h5\n")
    (outcome,) = import_folder(installation, store, [load_card(card)])
    assert outcome.target is None
    assert "git-annex pointer" in outcome.detail
    assert (store / "tiny.h5").read_bytes() == b"old"
    shutil.copy(weights_file, installation)
    assert import_folder(installation, store, [load_card(card)])[0].target == store / "tiny.h5"
    assert verify(load_card(card)).condition is Condition.PUBLISHED


@pytest.mark.parametrize(("closed", "mode"), [("", 0), ("models", 0), ("models", 0o444)])
def test_import_from_a_folder_that_may_not_be_read(closed, mode, tmp_path):
    with ordinary_user() as folder:
        (folder / "models" / "inside.h5").mkdir(parents=True)
        (folder / closed).chmod(mode)
        with pytest.raises(
            InputError, match=rf"{closed}.*: found no access \(Permission denied\)|none of the published"
        ):
            import_folder(folder, tmp_path / "store", [load_card("synthseg-2.0")])
        (folder / closed).chmod(0o755)


def test_import_into_a_place_that_cannot_be_written(card, tmp_path, weights_file):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        import_folder(weights_file.parent, tmp_path / "file", [load_card(card)])


def test_an_unreadable_file_is_listed(card, tmp_path, weights_file, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("synthseg_core.models.store.identify", refuse)
    (outcome,) = import_folder(weights_file.parent, tmp_path / "store", [load_card(card)])
    assert outcome.detail == "a file that cannot be read (Permission denied)"


@pytest.mark.parametrize(("output", "half"), [("x.pth", False), ("x", False), ("x.h5", True)])
def test_convert_to_what_is_not_offered(card, tmp_path, weights_file, output, half):
    with pytest.raises(InputError, match="choose another file name"):
        convert(load_card(card), weights_file, tmp_path / output, half=half)
