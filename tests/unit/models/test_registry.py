"""Model cards: the registered ones, one of a user's own, and every fault that is refused."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import yaml

from synthseg_core.errors import ModelError
from synthseg_core.models.card import GridSpec, WeightsFile
from synthseg_core.models.card_file import card_text, read_card
from synthseg_core.models.loading import load_models
from synthseg_core.models.registry import companion, load_card, registered_models
from synthseg_core.networks.config import RegressorConfig
from tests.privileges import ordinary_user

LABELS = (
    "label\tname\tside\tcounterpart\n"
    "0\tbackground\tneutral\t0\n7\tleft lobe\tleft\t2\n2\tright lobe\tright\t7\n90\tfluid\tneutral\t90\n"
)
CARD = {
    "name": "four-classes",
    "title": "Four classes of my own",
    "family": "synthseg",
    "task": "segmentation",
    "label_table": "four.tsv",
    "grid": {"voxel_size_mm": 1.5, "multiple_voxels": 8, "minimum_voxels": 32},
    "intensity": {"percentiles": [1, 99]},
    "networks": [{"out_channels": 4, "features": 2, "levels": 3}],
    "inference": {"clean_up": "threshold", "flip_average": True},
    "weights": {"file": "four.safetensors"},
}


@pytest.fixture
def card():
    return copy.deepcopy(CARD)


@pytest.fixture
def write(tmp_path):
    (tmp_path / "four.tsv").write_text(LABELS)

    def write(content):
        path = tmp_path / "card.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return write


@pytest.mark.parametrize("name", registered_models())
def test_registered_cards(name):
    card = load_card(name)
    assert card.name == name
    assert card.source.name == f"{name}.yaml"
    if (
        card.weights.archive is None and name != "synthseg-monai"
    ):  # no checksums of archives and of the port are published
        assert len(card.weights.sha256 or "") == 64
    assert card.citation or card.family != "synthseg" or "random" in name
    for task in card.companions:
        assert companion(card, task).task == task


def test_chain_of_the_robust_model():
    roles = [spec.role for spec in load_card("synthseg-robust-2.0").networks]
    assert roles == ["group_segmenter", "denoiser", "segmenter"]


def test_quality_model_has_a_regressor():
    assert load_card("synthseg-qc-2.0").networks[0].config == RegressorConfig()


def _beside(write, card, task: str, voxel_size_mm: float):
    """Write a card at 2 mm that answers at 1 mm, and beside it one that adds a task."""
    card["grid"] = {"voxel_size_mm": 2.0, "multiple_voxels": 4, "answer_voxel_size_mm": 1.0}
    card["companions"] = {task: "other.yaml"}
    path = write(card)
    other = card_text(
        replace(load_card("tiny-random-qc"), grid=GridSpec(voxel_size_mm), weights=WeightsFile("none")), "tiny_groups"
    )
    (path.parent / "other.yaml").write_text(other)
    return path


def test_scores_are_added_to_models_that_answer_on_another_grid(write, card):
    found = read_card(_beside(write, card, "quality", 2.0))
    assert companion(found, "quality").grid.voxel_size_mm == 2.0


def test_parcels_are_not(write, card):
    with pytest.raises(ModelError, match="parcels of a model that answers on another grid than its own"):
        read_card(_beside(write, card, "parcellation", 2.0))


def test_companions_work_at_the_voxel_size_of_the_model(write, card):
    found = read_card(_beside(write, card, "quality", 1.0))
    with pytest.raises(
        ModelError, match="works at 1 mm, as companion for quality; expected a model that works at 2 mm"
    ):
        companion(found, "quality")


def test_card_of_a_user(write, card):
    loaded = load_card(str(write(card)))
    assert loaded.labels.labels == (0, 7, 2, 90)
    assert loaded.grid.voxel_size_mm == 1.5
    assert loaded.intensity.percentiles == (1, 99)
    assert loaded.networks[0].config.out_channels == 4
    assert loaded.networks[0].role == "segmenter"
    assert loaded.weights.licence == "unspecified"


def test_card_with_a_table_of_the_package(write, card):
    card["label_table"] = "segmentation_2.0"
    card["networks"][0]["out_channels"] = 33
    assert len(read_card(write(card)).labels) == 33


def test_unknown_name():
    message = r"synthseg-3.0: found neither .* expected default, one of .*synthseg-1.0, .*models list"
    with pytest.raises(ModelError, match=message):
        load_card("synthseg-3.0")


def _without(key):
    return lambda card: card.pop(key)


def _with(value, *keys):
    def change(card):
        for key in keys[:-1]:
            card = card[key]
        card[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_with(1, "naem"), "card.yaml: found unknown entries naem; expected some of name, title"),
        (_with(1, "grid", "voxel_size"), "grid: found unknown entries voxel_size"),
        (_with(1, "networks", 0, "depth"), "network segmenter: found unknown entries depth"),
        (_without("title"), "card.yaml: found no title"),
        (_without("weights"), "card.yaml: found no weights"),
        (_without("networks"), "networks: None; expected a list"),
        (
            _without("label_table"),
            "label_table ''; expected a TSV file beside the card, or one of head, parcellation_2.0",
        ),
        (_with("nowhere.tsv", "label_table"), "label_table 'nowhere.tsv'"),
        (_with([], "networks"), "found no networks; expected at least one"),
        (_with([5], "networks"), "networks: 5; expected mappings"),
        (_with(5, "grid"), "grid: found 5; expected entries with names"),
        (_with({}, "weights"), "weights: found no file"),
        (_with("clairvoyance", "task"), "task 'clairvoyance'; expected segmentation or parcellation or quality"),
        (_with(5, "networks", 0, "out_channels"), "5 output channels and 4 labels; expected one label per channel"),
        (_with(4, "grid", "multiple_voxels"), None),
        (_with(6, "grid", "multiple_voxels"), "multiples of 6 voxels, halved 2 times; expected multiples of 4"),
        (_with(0, "grid", "voxel_size_mm"), "card.yaml, grid: found GridSpec.*expected positive sizes"),
        (_with("fine", "grid", "voxel_size_mm"), "card.yaml, grid, voxel_size_mm: found 'fine'; expected a number"),
        (_with(0, "grid", "multiple_voxels"), "expected positive sizes"),
        (
            _with([99, 1], "intensity", "percentiles"),
            "percentiles: found 99.0 and 1.0; expected 0 <= low < high",
        ),
        (_with([5], "intensity", "percentiles"), r"intensity, percentiles: found \[5\]; expected a list of 2"),
        (_with("polish", "inference", "clean_up"), "clean_up: found polish; expected topology or threshold or none"),
        (_with("topology", "inference", "clean_up"), "topology clean-up without a topology_class column"),
        (_with("transformer", "networks", 0, "architecture"), "architecture 'transformer'; expected unet or regressor"),
        (_with(1, "networks", 0, "levels"), "levels: found 1; expected at least 2"),
        (_with(2, "networks", 0, "kernel_size"), "kernel_size: found 2; expected odd"),
        (_with(0, "networks", 0, "features"), "features: found 0; expected a positive number"),
    ],
)
def test_faults_name_the_file_and_the_key(write, card, change, message):
    change(card)
    path = write(card)
    if message is None:
        assert read_card(path)
        return
    with pytest.raises(ModelError, match=message) as caught:
        read_card(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("name: [unclosed", "no readable model card"), ("- a\n- b\n", "no entries"), ("", "no entries")],
)
def test_not_a_card(write, text, message):
    with pytest.raises(ModelError, match=message):
        read_card(write(text))


def test_binary_card(tmp_path):
    path = tmp_path / "card.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match="no readable model card"):
        load_card(path)


@pytest.mark.parametrize("name", ["x" * 300, f"{'x/' * 3000}card.yaml", "a\0b"])
def test_names_that_no_file_can_have(write, card, name):
    with pytest.raises(ModelError, match="neither a registered model nor a card file"):
        load_card(name)
    card["label_table"] = name
    with pytest.raises(ModelError, match="label_table"):
        read_card(write(card))


def test_card_that_may_not_be_read():
    with ordinary_user() as folder:
        (folder / "card.yaml").write_text("name: x")
        folder.chmod(0)
        with pytest.raises(ModelError, match=r"card.yaml: found no readable model card .*Permission denied"):
            load_card(folder / "card.yaml")


def test_regressor_without_channels(write, card):
    card["networks"][0] = {"architecture": "regressor", "out_channels": 0}
    with pytest.raises(ModelError, match="out_channels: found 0; expected a positive number"):
        read_card(write(card))


def test_widths_and_skips():
    segmenter = load_card("synthseg-2.0").networks[0].config
    assert [segmenter.width(level) for level in range(5)] == [24, 48, 96, 192, 384]
    denoiser = load_card("synthseg-robust-2.0").networks[1].config
    assert [denoiser.has_skip(step) for step in range(4)] == [True, True, False, False]
    assert all(segmenter.has_skip(step) for step in range(4))
    assert load_card("synthseg-qc-2.0").networks[0].config.width(3) == 192


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("inference", "flip_average", "no"),
        ("inference", "posterior_sigma_voxels", "wide"),
        ("inference", "posterior_sigma_voxels", -1),
        ("intensity", "ct_window_hu", [80, 0]),
        ("intensity", "percentiles", [1]),
        ("grid", "multiple_voxels", 8.5),
        ("weights", "file", 3),
        ("weights", "urls", "https://example.org/w.h5"),
        (None, "name", 3),
        (None, "citation", "A paper"),
        (None, "citation", 3),
        (None, "companions", ["parcels"]),
        (None, "plausible_total_ml", [700]),
    ],
)
def test_values_of_the_wrong_kind(card, write, part, key, value):
    """Found when the card is read, in one line that names the key; a text in place of a list has letters for items."""
    (card if part is None else card[part])[key] = value
    with pytest.raises(ModelError, match=rf"card\.yaml.*{key}"):
        read_card(write(card))


@pytest.mark.parametrize(("key", "value"), [("features", 2.5), ("levels", 3.0), ("levels", True), ("skips", 1)])
def test_values_of_the_wrong_kind_in_a_network(card, write, key, value):
    card["networks"][0][key] = value
    with pytest.raises(ModelError, match=rf"card\.yaml, network segmenter, {key}: found"):
        read_card(write(card))


def test_whole_numbers_stay_as_the_card_writes_them(card, write):
    """Digests of output folders hold them so: a card that is read again must not make everything anew."""
    card["grid"]["voxel_size_mm"] = 1
    card["intensity"]["percentiles"] = [1, 98.5]
    found = read_card(write(card))
    assert repr(found.grid.voxel_size_mm) == "1"
    assert repr(found.intensity.percentiles) == "(1, 98.5)"


@pytest.mark.parametrize("name", ["synthseg_2.0.h5", "weights/other.SAFETENSORS"])
def test_weights_in_place_of_a_model(name):
    """As FreeSurfer's command takes them."""
    with pytest.raises(ModelError, match=r"found a file of weights; .*; name the folder of the weights with --weights"):
        load_card(name)


def test_the_default_model_has_scores_out_of_the_box():
    card = load_card("default")
    quality = companion(card, "quality")
    assert set(quality.labels.labels) == set(card.labels.qc_groups)
    assert {"synthetic", "with_faults"} <= set(quality.training["quality"])
    assert load_models(card, quality=True).warnings == ()
