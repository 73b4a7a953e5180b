"""What users of other BIDS Apps type: every row of the table works, or is answered in one line."""

from __future__ import annotations

import shlex

import pytest

from synthseg_core.app.arguments import OPTION_NAMES, build_parser, config_values, split_off_snakemake
from synthseg_core.app.configuration import checked
from synthseg_core.errors import UsageError
from synthseg_core.resources import resource
from synthseg_core.system.command_line import read_foreign_options

FOREIGN = read_foreign_options(resource("options", "synthseg-bids.tsv"))
ORDER = "BIDS_DIR OUTPUT_DIR participant|group come first, lists last; participant gathers as well"


def parsed(text):
    return build_parser().parse_args(["in", "out", "participant", *shlex.split(text)])


def config(text):
    return checked(config_values(parsed(text)), names=OPTION_NAMES)


def refused(text, capsys):
    """The one line of a refusal."""
    with pytest.raises(SystemExit) as end:
        parsed(text)
    assert end.value.code == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    (line,) = streams.err.splitlines()
    assert line.startswith("synthseg-bids: error: ")
    return line.removeprefix("synthseg-bids: error: ")


def test_words_after_two_dashes_are_for_snakemake():
    assert split_off_snakemake(["a", "--", "-p", "--", "x"]) == (["a"], ["-p", "--", "x"])
    assert split_off_snakemake(["a"]) == (["a"], [])


@pytest.mark.parametrize("row", FOREIGN, ids=[row.option for row in FOREIGN])
def test_every_row_of_the_table_does_what_it_says(row, capsys):
    typed = row.option.replace("*", "T1w")
    if not row.instead:
        assert refused(f"{typed} 1", capsys) == f"{typed}: found an option of {row.program}; {row.advice}"
        return
    ours, _, value = row.instead.partition("=")
    takes_value = value == "{}G" or (not value and build_parser()._option_string_actions[ours].nargs != 0)
    same = f"{ours}={value.format(7)}" if value else f"{ours} 700" if takes_value else ours
    given = " 7" if value == "{}G" else " 700" if takes_value else ""
    assert parsed(typed + given) == parsed(same)


def test_a_row_says_what_to_do_in_one_way():
    assert [row for row in FOREIGN if bool(row.instead) == bool(row.advice)] == []
    assert len({row.option for row in FOREIGN}) == len(FOREIGN)


def test_no_row_hides_an_option_of_ours():
    ours = {name.replace("_", "-") for name in build_parser()._option_string_actions}
    assert ours.isdisjoint(row.option for row in FOREIGN)


@pytest.mark.parametrize(
    ("typed", "ours"),
    [
        ("--participant_label 01 --work_dir w", "--participant-label 01 --work-dir w"),
        ("--participant_label=01 --bids_filter_file=f", "--participant-label 01 --bids-filter-file f"),
        ("--skip_bids_validation --dry_run", "--skip-bids-validation --dry-run"),
        ("--stop_on_first_crash --save_posteriors", "--stop-on-first-crash --save-posteriors"),
        ("-c4", "--n-cpus 4"),
        ("-c all", "--n-cpus all"),
        ("-vv", "--verbose"),
        ("--mem_gb=16", "--mem 16G"),
        ("--derivatives fmriprep=/d/fmriprep", "--derivatives /d/fmriprep"),
        ("--derivatives a --derivatives b", "--derivatives a b"),
    ],
)
def test_other_spellings(typed, ours):
    assert parsed(typed) == parsed(ours)


@pytest.mark.parametrize(
    "typed",
    [
        "--participant-label 01 03",
        "--participant-label 01,03",
        "--participant-label '01 03'",
        "--participant-label '01, 03'",
        "--participant-label sub-01,sub-03 01",
        "--participant-label sub-01 --participant-label 03",
        "--participant 01 --subject 03",
    ],
)
def test_lists_are_written_with_spaces_or_commas_or_in_several_options(typed):
    assert config(typed)["participants"] == ["01", "03"]


def test_other_lists():
    values = config(
        "--suffixes T1w,T2w --session_label ses-a,b --exclude-participant-label sub-1,2 --datatypes anat,ct"
    )
    keys = ("suffixes", "sessions", "exclude_participants", "datatypes")
    assert [values[key] for key in keys] == [["T1w", "T2w"], ["a", "b"], ["1", "2"], ["anat", "ct"]]


@pytest.mark.parametrize("nothing", ["''", "','", "' '"])
def test_an_empty_list_is_not_everything(nothing, capsys):
    """A shell variable that is not set must not segment the whole dataset."""
    assert "expected at least one LABEL" in refused(f"--participant-label {nothing}", capsys)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            "--participant-label 01 0:1",
            "--participant-label: found '0:1'; expected a label of letters and digits, such as",
        ),
        ("--session-label a_b", "--session-label: found 'a_b'; expected a label of letters and digits"),
        ("--suffixes T1w.nii", "--suffixes: found 'T1w.nii'; expected a suffix of letters and digits, such as T1w"),
        ("--datatypes Anat", "--datatypes: found 'Anat'; expected a folder of BIDS in small letters, such as anat"),
        ("--device tpu", "--device: found 'tpu'; expected where the network runs, one of auto, cpu, cuda"),
        ("--qc-threshold 65", "--qc-threshold: found 65.0; expected a score from 0 to 1"),
    ],
)
def test_values_that_do_not_fit_are_told_by_their_option(typed, said):
    with pytest.raises(UsageError) as caught:
        config(typed)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("--participant-lable 01", "--participant-lable: found no such option; did you mean --participant-label?"),
        ("--part 01", "--part: found no such option; did you mean --participant-label?"),
        ("--qc-thresh 0.5", "--qc-thresh: found no such option; did you mean --qc-threshold?"),
        ("--nthread 4", "--nthread: found no such option; did you mean --n-cpus?"),
        ("--wibble", "--wibble: found no such option; see 'synthseg-bids --help'"),
        ("group", f"unrecognized arguments: group; {ORDER}"),
        ("--n-cpus two", "--n-cpus: found 'two'; expected a number of cores, 1 or more, or all"),
        ("--qc-threshold high", "--qc-threshold: invalid float value: 'high'; see 'synthseg-bids --help'"),
    ],
)
def test_mistakes_cost_one_line(typed, said, capsys):
    assert refused(typed, capsys) == said


def test_a_list_that_takes_the_words_behind_it(capsys):
    with pytest.raises(SystemExit, match="2"):
        build_parser().parse_args(["in", "out", "--participant-label", "01", "participant"])
    expected = f"synthseg-bids: error: the following arguments are required: analysis_level; {ORDER}\n"
    assert capsys.readouterr().err == expected


def test_a_level_that_is_none(capsys):
    with pytest.raises(SystemExit, match="2"):
        build_parser().parse_args(["in", "out", "session"])
    assert "analysis_level: invalid choice: 'session' (choose from " in capsys.readouterr().err


SIZES = {
    **{"16000": 16000, "32G": 32000, "16GB": 16000, "16 GB": 16000, "16000M": 16000, "16000 mb": 16000},
    **{"1.5gb": 1500, "16GiB": 17180, "1T": 10**6, "500M": 500, "100M": 100, "500": 500},
}


@pytest.mark.parametrize(("text", "megabytes"), SIZES.items())
def test_memory(text, megabytes):
    assert parsed(f"--mem '{text}'").mem == megabytes


@pytest.mark.parametrize("text", ["much", "0", "0G", "3X", "-1G", "G"])
def test_memory_that_is_none(text, capsys):
    assert "expected" in refused(f"--mem '{text}'", capsys)


def test_memory_that_looks_like_gigabytes(capsys):
    expected = "--mem: found 32, which is 32 MB; expected 500 MB or more for a scan; for gigabytes write 32G"
    assert refused("--mem 32", capsys) == expected
