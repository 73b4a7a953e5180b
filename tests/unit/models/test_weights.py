"""Where weights are looked for, and what happens to files that are not the published ones."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from synthseg_core.errors import WeightsError
from synthseg_core.models.card import ModelCard, WeightsFile
from synthseg_core.models.registry import load_card, registered_models
from synthseg_core.models.weights import FoundWeights, cache_folder, file_names, find_weights, places
from synthseg_core.system.file_identity import sha256_of
from tests.phantoms.trees import make_tree
from tests.privileges import ordinary_user

HDF5 = b"\x89HDF\r\n\x1a\n"


@pytest.fixture
def card(tmp_path, monkeypatch) -> ModelCard:
    """A registered card whose checksum is that of a small file, with a cache of its own."""
    monkeypatch.delenv("SYNTHSEG_MODELS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    content = tmp_path / "content"
    content.write_bytes(HDF5 + b"weights")
    published = load_card("synthseg-2.0")
    weights = dataclasses.replace(published.weights, size_bytes=15, sha256=sha256_of(content))
    return dataclasses.replace(published, weights=weights, source=tmp_path / "cards" / "card.yaml")


def put(folder: Path, content: bytes = HDF5 + b"weights", name: str = "synthseg_2.0.h5") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def test_nothing_found_says_where_it_was_looked_for_and_what_to_do(card, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHSEG_MODELS", str(tmp_path / "named"))
    with pytest.raises(WeightsError) as caught:
        find_weights(card)
    for said in (
        str(tmp_path / "cards"),
        str(tmp_path / "named"),
        str(tmp_path / "xdg" / "synthseg"),
        "synthseg_2.0.h5 or synthseg_2.0.safetensors",
        "synthseg models fetch synthseg-2.0",
        "--weights DIR",
    ):
        assert said in str(caught.value)


def test_a_model_without_mirrors_is_not_offered_for_download(card):
    card = dataclasses.replace(card, weights=WeightsFile("own.h5"))
    with pytest.raises(WeightsError) as caught:
        find_weights(card)
    assert "fetch" not in str(caught.value)
    assert "--weights DIR" in str(caught.value)


def test_places_are_searched_in_order(card, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHSEG_MODELS", str(tmp_path / "named"))
    for folder in ("xdg/synthseg", "named", "cards"):
        path = put(tmp_path / folder)
        assert find_weights(card) == FoundWeights(path, card.weights.sha256, True)
    own = put(tmp_path / "own")
    assert find_weights(card, tmp_path / "own").path == own


def test_a_folder_that_is_named_is_the_only_place(card, tmp_path):
    put(tmp_path / "xdg" / "synthseg")
    with pytest.raises(WeightsError, match="the folder given"):
        find_weights(card, tmp_path / "empty")


@pytest.mark.parametrize("content", [HDF5 + b"damaged weights", HDF5 + b"WEIGHTS"])
def test_a_damaged_file_in_the_cache_is_an_error(card, tmp_path, content):
    put(tmp_path / "xdg" / "synthseg", content)
    with pytest.raises(WeightsError, match=r"instead of .*synthseg models fetch synthseg-2.0"):
        find_weights(card)


def test_a_pointer_in_the_cache_is_called_so(card, tmp_path):
    put(tmp_path / "xdg" / "synthseg", b"/annex/objects/SHA256E-s53079152--f190.0.h5\n")
    with pytest.raises(WeightsError, match="a git-annex pointer"):
        find_weights(card)


def test_other_weights_in_a_folder_of_the_users_are_taken_with_a_warning(card, tmp_path):
    path = put(tmp_path / "own", HDF5 + b"mine")
    found = find_weights(card, tmp_path / "own")
    assert found.published is False
    assert found.sha256 == sha256_of(path)
    assert len(found.warnings) == 1
    assert "not the published weights of synthseg-2.0 (12 bytes instead of 15)" in found.warnings[0]


def test_a_converted_file_is_found_and_has_no_published_checksum(card, tmp_path):
    path = put(tmp_path / "xdg" / "synthseg", b"converted", "synthseg_2.0.safetensors")
    assert find_weights(card) == FoundWeights(path, sha256_of(path), None)


def test_a_card_without_checksum_is_trusted(card, tmp_path):
    card = dataclasses.replace(card, weights=WeightsFile("sub/net.safetensors"))
    path = put(tmp_path / "cards" / "sub", b"mine", "net.safetensors")
    assert find_weights(card).path == path
    assert find_weights(card).published is None
    assert file_names(card) == ("net.safetensors", "net.h5")


def test_an_unreadable_file_is_one_line(card, tmp_path, monkeypatch):
    put(tmp_path / "own")

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("synthseg_core.models.weights.identify", refuse)
    with pytest.raises(WeightsError, match="Permission denied"):
        find_weights(card, tmp_path / "own")


def test_a_folder_that_may_not_be_looked_into_is_one_line(card, monkeypatch):
    with ordinary_user() as folder:
        put(folder / "closed")
        (folder / "closed").chmod(0)
        with pytest.raises(WeightsError, match="closed/.*Permission denied"):
            find_weights(card, folder / "closed")
        monkeypatch.setenv("SYNTHSEG_MODELS", str(folder / "closed"))
        with pytest.raises(WeightsError, match="closed/.*Permission denied"):
            find_weights(dataclasses.replace(card, source=folder / "card.yaml"))
        (folder / "closed").chmod(0o755)


def test_a_name_that_no_file_can_have_is_no_file(card):
    with pytest.raises(WeightsError, match="no weights in"):
        find_weights(dataclasses.replace(card, weights=WeightsFile("x" * 300 + ".h5")))


@pytest.mark.parametrize("name", ["", "gone/deeper", "file/models"])
def test_cache_folder_that_cannot_be_written_to(monkeypatch, name):
    with ordinary_user() as home:
        make_tree(home, ["file"])
        home.chmod(0o500)
        monkeypatch.setenv("SYNTHSEG_MODELS", str(home / name))
        with pytest.raises(WeightsError, match=r"(written to|hold one); expected .*set SYNTHSEG_MODELS .* --to"):
            cache_folder()
        home.chmod(0o700)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other folders")
def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("SYNTHSEG_MODELS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for unset in ("", "relative/is/ignored"):
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert cache_folder() == tmp_path / ".cache" / "synthseg"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_folder() == tmp_path / "x" / "synthseg"
    assert not (tmp_path / "x").exists()
    monkeypatch.setenv("SYNTHSEG_MODELS", str(tmp_path / "named"))
    assert cache_folder() == tmp_path / "named"
    monkeypatch.setenv("SYNTHSEG_MODELS", "~/models")
    assert cache_folder() == tmp_path / "models"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other folders")
def test_without_a_home_the_other_places_remain(card, monkeypatch):
    def unknown(user):
        raise KeyError(user)

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert [place.name for place in places(card)] == ["beside the card"]
    with pytest.raises(WeightsError, match="set SYNTHSEG_MODELS"):
        cache_folder()


def test_registered_cards_know_where_to_look():
    for name in registered_models():
        assert [place.own for place in places(load_card(name))].count(True) == 0
