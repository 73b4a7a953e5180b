"""Options of FreeSurfer and others at the drop-in commands: every row of their tables works, or is answered."""

from __future__ import annotations

import pytest

from synthseg_core.cli.dropin import one_scan
from synthseg_core.cli.dropin.flags import ModelFlags
from synthseg_core.cli.main import build_parser
from synthseg_core.resources import resource
from synthseg_core.system.command_line import read_foreign_options

NEEDED = {"predict": {"--i": "a.nii", "--o": "b.nii"}, "dataset": {"--csv": "scans.csv"}}
ROWS = [
    (command, row) for command in NEEDED for row in read_foreign_options(resource("options", f"{command}.tsv"))
]  # fmt: skip


def parse(command, words):
    """What the words set; what has to be there is added where they do not say it."""
    rest = [f"{option}={value}" for option, value in NEEDED[command].items() if option not in words]
    return build_parser(command).parse_args([command, *words, *rest])


@pytest.mark.parametrize(("command", "row"), ROWS, ids=[f"{command} {row.option}" for command, row in ROWS])
def test_every_row_of_the_tables_does_what_it_says(command, row, capsys):
    if row.instead:
        ours, _, value = row.instead.partition("=")
        typed, same = ([row.option], [ours, value]) if value else ([row.option, "7"], [ours, "7"])
        needed = [word for pair in NEEDED[command].items() if pair[0] != ours for word in pair]
        parser = build_parser(command)
        assert parser.parse_args([command, *needed, *typed]) == parser.parse_args([command, *needed, *same])
        return
    with pytest.raises(SystemExit, match="2"):
        parse(command, [row.option, "x"])
    expected = f"synthseg {command}: error: {row.option}: found an option of {row.program}; {row.advice}\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize("option", ["--path-column", "--suffix-segm", "--gpu-id"])
def test_hyphens_do_for_underscores(option):
    assert parse("dataset", [option, "3"]) == parse("dataset", [option.replace("-", "_").replace("__", "--"), "3"])


def flags(**changed) -> ModelFlags:
    common = {"model": "tiny-random", "parcellation": False, "fast": False, "ct": False, "crop": None, "threads": 1}
    return ModelFlags(**{**common, "device": "cpu", "gpu": None, "weights": None, **changed})


def test_what_the_record_of_a_dataset_compares():
    """Flags that change results are in it where they are set; records from before they were there stay valid."""
    plain = one_scan.settings_of(flags(), quality=False)
    assert not {"autocrop", "keep_geometry", "colour_table"} & set(plain)
    assert one_scan.settings_of(flags(colour_table=False), quality=False) == plain  # its label maps are NIfTI
    for name in ("autocrop", "keep_geometry"):
        assert one_scan.settings_of(flags(**{name: True}), quality=False) == {**plain, name: True}
