"""``synthseg models`` from the command line, and the store behind it."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from synthseg_core.cli import models as command
from synthseg_core.cli.main import main
from synthseg_core.cli.models import TerminalWatcher
from synthseg_core.models.arrays import load_state, read_metadata
from synthseg_core.models.download import Fetched
from synthseg_core.models.http import Policy
from synthseg_core.models.keras_file import write_keras
from synthseg_core.models.registry import load_card, registered_models
from synthseg_core.models.store import Condition, StoredModel, convert, verify
from synthseg_core.models.weights import find_weights
from tests.phantoms.terminal import Terminal
from tests.unit.models.downloads import forget_proxies
from tests.unit.models.loopback_server import instead
from tests.unit.models.test_keras_file import assert_same, random_state

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


def run(*arguments: object) -> int:
    return main(["models", *map(str, arguments)])


# list


def test_list_shows_every_model_and_says_what_is_not_there(capsys):
    assert run("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["NAME", "TASK", "CLASSES", "VOXELS", "SIZE", "WEIGHTS", "LICENCE"]
    assert [line.split()[0] for line in lines[1:]] == list(registered_models())
    robust = next(line for line in lines if line.startswith("synthseg-robust-2.0"))
    assert robust.split()[1:7] == ["segmentation", "33", "1", "mm", "214.6", "MB"]
    assert "not fetched" in robust


def test_list_as_json(capsys, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "synthseg_1.0.h5").write_bytes(b"something")
    assert run("list", "--json", "synthseg-1.0", "synthseg-parc-2.0") == 0
    one, parcels = json.loads(capsys.readouterr().out)
    assert one["path"] == str(tmp_path / "store" / "synthseg_1.0.h5")
    assert one["place"] == "$SYNTHSEG_MODELS"
    assert one["size_bytes"] == 9  # the card gives no size
    assert (parcels["task"], parcels["classes"], parcels["voxel_size_mm"]) == ("parcellation", 69, 1.0)
    assert parcels["present"] is False
    assert parcels["path"] is None
    assert parcels["size_bytes"] == 53_090_840


def test_licences_and_papers(capsys):
    assert run("list", "--licenses", "synthseg-qc-2.0") == 0
    out = capsys.readouterr().out
    assert "FreeSurfer Software License" in out
    assert "cite: Billot et al." in out


def test_a_model_that_does_not_exist(capsys):
    assert run("list", "synthseg-9") == 2
    assert "neither a registered model nor a card file" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [(), ("burn",), ("path",), ("list", "--nonsense")])
def test_usage_errors(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("synthseg models")
    assert " --help'" in line


@pytest.mark.parametrize("action", ["list", "fetch", "verify", "path", "import", "convert"])
def test_every_action_has_help(action, capsys):
    with pytest.raises(SystemExit) as caught:
        run(action, "--help")
    assert caught.value.code == 0
    assert "usage: synthseg models" in capsys.readouterr().out


# fetch


def test_fetch_shows_the_licence_first_and_then_where_the_file_is(card, tmp_path, capsys, weights_file):
    assert run("fetch", card) == 0
    printed = capsys.readouterr()
    target = tmp_path / "store" / "tiny.h5"
    assert printed.out == f"tiny: fetched: {target}\n"
    assert printed.err.splitlines() == ["tiny: licence of the weights: CC0, for tests", "tiny.h5 from 127.0.0.1"]
    assert target.read_bytes() == weights_file.read_bytes()
    assert run("fetch", card) == 0
    assert "was there already" in capsys.readouterr().out
    assert run("path", card) == 0
    assert capsys.readouterr().out == f"{target}\n"
    assert run("verify", card) == 0


def test_fetch_to_a_folder(card, tmp_path):
    assert run("fetch", card, "--to", tmp_path / "elsewhere") == 0
    assert (tmp_path / "elsewhere" / "tiny.h5").is_file()
    assert not (tmp_path / "store").exists()


def test_fetch_of_one_model_that_fails(server, tmp_path, weights_file, capsys):
    card = write_card(tmp_path / "a.yaml", server.put("tiny.h5", b"", instead(b"<html>")), published=weights_file)
    assert run("fetch", card) == 2
    assert "error: tiny.h5: found 127.0.0.1: a web page in place of the data" in capsys.readouterr().err


def test_fetch_of_several_models_goes_on_after_a_failure(server, card, tmp_path, weights_file, capsys):
    bad = write_card(tmp_path / "bad" / "bad.yaml", f"{server.url}/nothing", published=weights_file)
    assert run("fetch", bad, card) == 1
    printed = capsys.readouterr()
    assert printed.out == f"tiny: fetched: {tmp_path / 'store' / 'tiny.h5'}\n"
    assert "HTTP 404" in printed.err


@pytest.mark.parametrize("arguments", [("fetch",), ("fetch", "--all", "synthseg-2.0")])
def test_fetch_needs_names_or_all(arguments, capsys):
    assert run(*arguments) == 2
    assert "names of models, or --all" in capsys.readouterr().err


def test_fetch_all_asks_for_the_models_with_mirrors(monkeypatch, tmp_path, capsys):
    asked = []

    def pretend(weights, target, *, watcher):
        asked.append(target)
        return Fetched(target, None)

    monkeypatch.setattr(command, "fetch", pretend)
    assert run("fetch", "--all") == 0
    said = capsys.readouterr().err
    assert "tiny-random: nothing to fetch: " in said
    assert "synthseg-monai: a file without a published checksum, which is fetched by name alone" in said
    assert {path.name for path in asked} == {
        *("synthseg_1.0.h5", "synthseg_2.0.h5", "synthseg_parc_2.0.h5", "synthseg_qc_2.0.h5", "synthseg_robust_2.0.h5")
    }
    assert {path.parent for path in asked} == {tmp_path / "store"}


def test_fetch_of_what_cannot_be_fetched(monkeypatch, tmp_path, capsys):
    """Said in either case; an error only where the model was named and its weights are not there."""
    assert run("fetch", "tiny-random") == 0
    assert re.search(r"tiny-random: nothing to fetch: .*is there", capsys.readouterr().err)
    card = write_card(tmp_path / "cards" / "mine.yaml")
    assert run("fetch", card) == 2
    assert "no mirror in its model card" in capsys.readouterr().err
    monkeypatch.setattr(command, "_cards", lambda names: [load_card(card)])
    assert run("fetch", "--all") == 0
    assert "mine: nothing to fetch: its card gives no address" in capsys.readouterr().err


def test_an_interrupted_fetch_ends_with_130(card, monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "fetch", interrupted)
    assert run("fetch", card) == 130


def test_a_progress_line_is_drawn_on_a_terminal_and_taken_away(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    watcher = TerminalWatcher()
    watcher.note("net.h5 from here")
    watcher.progress(1_000_000, 4_000_000)
    watcher.progress(1_000_001, 4_000_000)  # too soon to draw again
    watcher.progress(4_000_000, 4_000_000)
    watcher.note("done")
    watcher.finish()
    first, quarter, whole, last = sys.stderr.shown()
    assert quarter.startswith("  1.0 MB of 4.0 MB, 25 %")
    assert whole.startswith("  4.0 MB of 4.0 MB, 100 %")
    assert [first, last, ""] == sys.stderr.screen() == ["net.h5 from here", "done", ""]


def test_a_progress_line_without_known_size(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    TerminalWatcher().progress(2_000_000, None)
    assert "  2.0 MB, " in sys.stderr.getvalue()


def test_logs_hold_no_progress(capsys):
    watcher = TerminalWatcher()
    watcher.note("start")
    watcher.progress(1, 2)
    watcher.finish()
    assert capsys.readouterr().err == "start\n"


# verify


def test_verify_tells_the_conditions_apart(card, tmp_path, weights_file, capsys):
    name, store = load_card(card), tmp_path / "store"
    assert verify(name).condition is Condition.MISSING
    store.mkdir()
    shutil.copy(weights_file, store)
    assert verify(name) == StoredModel("tiny", Condition.PUBLISHED, store / "tiny.h5")
    content = weights_file.read_bytes()
    (store / "tiny.h5").write_bytes(content[:-1])
    assert verify(name).condition is Condition.DAMAGED
    assert verify(name).detail == f"{len(content) - 1} bytes instead of {len(content)}"
    own = tmp_path / "own"
    spec = name.networks[0]
    write_keras(own / "tiny.h5", [(spec, random_state(spec, 1))])
    assert verify(name, own).condition is Condition.OTHER
    (own / "tiny.h5").write_bytes(content[:500])
    assert verify(name, own).condition is Condition.DAMAGED
    assert "truncated" in verify(name, own).detail
    assert run("verify", card, "--weights", own) == 1
    assert capsys.readouterr().out.startswith("tiny  damaged")


def test_verify_of_an_empty_store_fails(capsys):
    assert run("verify", "synthseg-1.0", "synthseg-2.0") == 1
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["synthseg-1.0", "missing"],
        ["synthseg-2.0", "missing"],
    ]


# path


def test_path_warns_about_own_weights(card, tmp_path, capsys):
    spec = load_card(card).networks[0]
    write_keras(tmp_path / "own" / "tiny.h5", [(spec, random_state(spec, 1))])
    assert run("path", card, "--weights", tmp_path / "own") == 0
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path / 'own' / 'tiny.h5'}\n"
    assert "warning" in printed.err
    assert "not the published weights of tiny" in printed.err


def test_path_of_missing_weights(card, capsys):
    assert run("path", card) == 2
    assert "synthseg models fetch tiny" in capsys.readouterr().err


# import


def test_import_from_the_command_line(tmp_path, capsys):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "synthseg_2.0.h5").write_bytes(b"")
    assert run("import", tmp_path) == 1
    printed = capsys.readouterr()
    assert "not taken, an empty file (0 bytes)" in printed.out
    assert "--weights DIR" in printed.err
    assert run("import", tmp_path / "nowhere") == 2
    assert "found no folder" in capsys.readouterr().err
    (tmp_path / "models" / "synthseg_2.0.h5").unlink()
    assert run("import", tmp_path) == 2
    assert "none of the published files" in capsys.readouterr().err


# convert


def test_convert_both_ways(card, tmp_path, weights_file, capsys):
    name, published = load_card(card), weights_file.parent
    assert run("convert", card, tmp_path / "own" / "tiny.safetensors", "--half", "--weights", published) == 0
    assert run("convert", card, tmp_path / "own2" / "tiny.h5", "--weights", published) == 0
    assert run("convert", card, tmp_path / "own2" / "CAPITALS.H5", "--weights", published) == 0
    spec = name.networks[0]
    converted = find_weights(name, tmp_path / "own")
    assert converted.published is None
    assert read_metadata(converted.path)["source_sha256"] == name.weights.sha256
    assert load_state(converted.path, spec)["head.bias"] == pytest.approx(random_state(spec)["head.bias"], rel=1e-3)
    for file in ("tiny.h5", "CAPITALS.H5"):
        assert_same(random_state(spec), load_state(tmp_path / "own2" / file, spec))
    convert(name, converted.path, tmp_path / "again.safetensors")
    assert read_metadata(tmp_path / "again.safetensors")["source_sha256"] == name.weights.sha256


def test_convert_warns_about_own_weights(card, tmp_path, capsys):
    spec = load_card(card).networks[0]
    write_keras(tmp_path / "own" / "tiny.h5", [(spec, random_state(spec, 1))])
    assert run("convert", card, tmp_path / "out.safetensors", "--weights", tmp_path / "own") == 0
    assert "not the published weights of tiny" in capsys.readouterr().err


# published cards


def test_published_cards_have_https_mirrors_checksums_and_licences():
    for name in registered_models():
        weights = load_card(name).weights
        addresses = [url for entry in weights.urls for url in ((entry,) if isinstance(entry, str) else entry)]
        assert all(url.startswith("https://") for url in addresses)
        assert weights.licence != "unspecified"
        assert weights.sha256 is None or len(weights.sha256) == 64
        assert not addresses or weights.sha256 or name == "synthseg-monai"  # whose authors publish none
        assert all(weights.file in url or "SHA256E-" in url for url in addresses)


def test_the_default_policy_is_patient_but_ends():
    policy = Policy()
    assert policy.attempts < 10
    assert policy.timeout_s <= 60
