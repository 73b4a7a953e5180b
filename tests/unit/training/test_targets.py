"""What the output channels of a network mean that is trained on a label list."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from synthseg_core.errors import InputError
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.labels.table import LabelTable
from synthseg_core.training.targets import brain_targets, target_table
from tests.phantoms.label_maps import LIST, write_list


def test_the_published_targets_get_the_published_table():
    assert target_table(GenerationLabels.builtin()) == LabelTable.builtin("segmentation_2.0")
    older = target_table(GenerationLabels.builtin(outputs="output_1.0"))
    assert older == LabelTable.builtin("segmentation_1.0")


def test_tissues_of_the_head_get_the_table_of_the_head():
    labels = GenerationLabels.builtin(outputs="output_head")
    assert target_table(labels) == LabelTable.builtin("head")
    assert brain_targets(labels) == LabelTable.builtin("segmentation_2.0").labels[1:]


def test_without_tissues_of_the_head_all_targets_are_inside():
    assert brain_targets(GenerationLabels.builtin()) is None


def test_groups_of_both_sides_have_no_side():
    groups = target_table(GenerationLabels.builtin(outputs="output_groups"))
    assert groups.labels == groups.counterparts == (0, 1, 2, 3, 4)
    assert set(groups.sides) == {"neutral"}
    assert groups.names[0] == "background"


def test_a_list_of_ones_own_makes_a_table(tmp_path):
    table = target_table(GenerationLabels.read(write_list(tmp_path / "list.tsv")))
    assert table.labels == (0, 2, 13, 41, 52)
    assert table.counterparts == (0, 41, 52, 2, 13)
    assert table.sides == ("neutral", "left", "left", "right", "right")
    assert table.names[1:] == ("left-tissue", "left-nucleus", "right-tissue", "right-nucleus")
    assert LabelTable.read(_written(tmp_path, table)).labels == table.labels


def _written(folder: Path, table: LabelTable) -> Path:
    (folder / "written.tsv").write_text(table.to_tsv())
    return folder / "written.tsv"


def test_targets_that_are_sided_in_part_are_refused(tmp_path):
    odd = LIST.replace("13\tleft-nucleus\tleft\t52\t3\t13", "13\tleft-nucleus\tleft\t52\t3\t2")
    labels = GenerationLabels.read(write_list(tmp_path / "list.tsv", odd))
    with pytest.raises(InputError, match="target 2, whose counterparts become 41 and 52"):
        target_table(labels)


def test_names_are_made_up_where_the_list_has_none():
    labels = replace(GenerationLabels.builtin(outputs="output_groups"), names=())
    assert target_table(labels).names[1] == "label 1"


def test_groups_for_scores_and_clean_up_come_along():
    labels = GenerationLabels.builtin(outputs="output_groups")
    numbers = tuple(2 * group for group in labels.groups)
    table = target_table(replace(labels, qc_groups=labels.groups, topology_classes=numbers))
    assert table.qc_groups == (0, 1, 2, 3, 4)
    assert table.topology_classes == (0, 2, 4, 6, 8)


def test_targets_in_two_groups_are_refused():
    labels = GenerationLabels.builtin(outputs="output_groups")
    with pytest.raises(InputError, match="found target 1 with qc_group 3 and .*; expected one number"):
        target_table(replace(labels, qc_groups=(0, *range(1, len(labels)))))
