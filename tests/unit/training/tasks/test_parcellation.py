"""Parcels of the cortex from label maps that show them."""

from __future__ import annotations

import pytest

from synthseg_core.cli.demo.heads import write_heads
from synthseg_core.cli.demo.parcels import LIST, write_parcel_heads
from synthseg_core.errors import InputError
from synthseg_core.models.registry import load_card
from synthseg_core.synth.maps import read_labels
from synthseg_core.training.prepare import Inputs, MapsSource
from synthseg_core.training.tasks import prepare
from synthseg_core.training.tasks.parcellation import with_cortex
from tests.unit.training.tasks.small import CPU, experiment, first_model

PARCELS = (1011, 1028, 1029, 2011, 2028, 2029)


def _labels(folder, wanted):
    return read_labels(str(folder / LIST), wanted.recipe)


def test_the_network_is_given_image_surroundings_and_cortex(tmp_path):
    wanted = experiment("tiny_parcellation")
    maps = write_parcel_heads(tmp_path, 2, voxel_size_mm=4.0)
    found = prepare(wanted, Inputs(MapsSource(maps, _labels(tmp_path, wanted))), CPU)
    images, truth = found.source.batch([2])
    assert images.shape == (1, 3, 24, 32, 24)
    cortex, parcels = images[0, 2] > 0, truth[0] > 0
    assert 0.5 < float((cortex & parcels).sum()) / float(parcels.sum()) <= 1  # frayed, but the cortex of the labels
    assert found.model.table.labels == (0, *PARCELS)
    assert found.model.table.counterparts[1] == 2011
    card = load_card(first_model(found, tmp_path / "parcels"))
    assert (card.task, card.networks[0].role, card.networks[0].prefix) == ("parcellation", "parcellator", "unet_parc")
    assert not card.inference.flip_average
    assert card.grid.voxel_size_mm == 4.0


def test_the_cortex_is_what_becomes_a_parcel(tmp_path):
    wanted = experiment("tiny_parcellation")
    write_parcel_heads(tmp_path, 1, voxel_size_mm=8.0)
    labels = with_cortex(_labels(tmp_path, wanted))
    assert {value for value, group in zip(labels.values, labels.groups, strict=True) if group} == set(PARCELS)


def test_lists_without_parcels_are_refused(tmp_path):
    wanted = experiment("tiny_parcellation")
    write_parcel_heads(tmp_path, 1, voxel_size_mm=8.0)
    text = (tmp_path / LIST).read_text().replace("\t1011\n", "\t0\n")
    for value in PARCELS:
        text = text.replace(f"\t{value}\n", "\t0\n")
    (tmp_path / LIST).write_text(text)
    with pytest.raises(InputError, match="0 parcels among the targets of column output_parcels"):
        with_cortex(_labels(tmp_path, wanted))


def test_maps_without_parcels_are_refused(tmp_path):
    wanted = experiment("tiny_parcellation")
    write_parcel_heads(tmp_path, 1, voxel_size_mm=4.0)
    maps = write_heads(tmp_path / "others", 1, voxel_size_mm=4.0)
    labels = _labels(tmp_path, wanted)
    with pytest.raises(InputError, match="a value that the label list lacks|values that the label list lacks"):
        prepare(wanted, Inputs(MapsSource(maps, labels)), CPU)
    source = MapsSource(maps, labels, unknown="background")
    with pytest.raises(InputError, match=r"6 parcels that none of them shows \(1011, 1028, 1029, 2011, 2028, 2029\)"):
        prepare(wanted, Inputs(source), CPU)
