"""The entry point: overview, exit status, errors known and unknown, help texts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

import synthseg_core
from synthseg_core.cli import main as entry
from synthseg_core.cli.main import COMMANDS, build_parser, main
from synthseg_core.errors import InputError
from synthseg_core.models.registry import default_model

SEGMENT_FLAGS = [
    *("--model", "--weights", "--device", "--threads", "--fast", "--ct", "--crop", "--autocrop"),
    *("--volume", "--source"),
    *("--translate-before", "--translate-to", "--translated"),
    *("--folds", "--mode", "--voxel-scale", "--skip-resampling"),
    *("--dseg", "--dseg-1mm", "--mask", "--posteriors", "--posteriors-1mm", "--resampled", "--volumes", "--decision"),
    *("--sidecar", "--sidecar-1mm", "--mask-sidecar", "--posteriors-sidecar", "--log-json", "--attempt"),
]


@pytest.fixture
def command(monkeypatch):
    """Put a function in place of ``synthseg segment``."""

    def install(run) -> None:
        module = SimpleNamespace(add_arguments=lambda parser: parser.add_argument("scan"), run=run)
        monkeypatch.setattr(entry.importlib, "import_module", lambda name: module)

    return install


def _exit(words, capsys) -> tuple[int, str, str]:
    """Status of a call that argparse ends itself."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    streams = capsys.readouterr()
    return int(caught.value.code or 0), streams.out, streams.err


@pytest.mark.parametrize("status", [0, 1, 2])
def test_status_of_the_subcommand_is_the_status(command, status):
    command(lambda args: status)
    assert main(["segment", "a.nii"]) == status


def test_known_error_is_one_line_and_2(command, capsys):
    def run(args):
        raise InputError(args.scan, found="nothing\nat all", expected="a scan", remedy="look elsewhere")

    command(run)
    assert main(["segment", "a.nii"]) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err == ("synthseg segment: error: a.nii: found nothing at all; expected a scan; look elsewhere\n")


def test_interruption_is_130(command, capsys):
    def run(args):
        raise KeyboardInterrupt

    command(run)
    assert main(["segment", "a.nii"]) == 130
    assert capsys.readouterr().err == "synthseg segment: interrupted\n"


@pytest.mark.parametrize("error", [RuntimeError("a bug"), ValueError("a bug"), OSError("a bug"), MemoryError("a bug")])
def test_unknown_errors_are_not_swallowed(command, error):
    def run(args):
        raise error

    command(run)
    with pytest.raises(type(error), match="a bug"):
        main(["segment", "a.nii"])


def test_unknown_error_keeps_its_traceback_and_ends_with_1():
    code = (
        "import sys, synthseg_core.cli.segment as s; from synthseg_core.cli.main import main;"
        "s.run = lambda args: 1 / 0; sys.exit(main(['segment', 'a.nii']))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "Traceback" in run.stderr
    assert "ZeroDivisionError" in run.stderr


def test_no_arguments(capsys):
    assert main([]) == 2
    said = capsys.readouterr().err
    assert all(name in said for name in COMMANDS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sgment", "a.nii"], "invalid choice: 'sgment'"),
        (["--nonsense"], "required: COMMAND"),
        (["segment"], "required: SCAN"),
        (["segment", "a.nii", "--nonsense"], "segment: error: --nonsense: found no such option; "),
        (["segment", "a.nii", "--threads", "two"], "--threads: invalid int value: 'two'"),
        (["segment", "a.nii", "--crop"], "--crop: expected at least one argument"),
        (["segment", "a.nii", "--crop", "1.5"], "--crop: invalid int value: '1.5'"),
        (["segment", "a.nii", "b.nii", "--dseg", "c.nii"], "unrecognized arguments: b.nii"),
    ],
)
def test_usage_errors_of_the_parser_are_2(words, said, capsys):
    status, out, err = _exit(words, capsys)
    assert (status, out) == (2, "")
    assert said in err


def test_version(capsys):
    assert _exit(["--version"], capsys)[:2] == (0, f"synthseg {synthseg_core.__version__}\n")


def test_overview_names_every_command_with_its_summary(capsys):
    status, out, _ = _exit(["--help"], capsys)
    assert status == 0
    text = " ".join(out.split())
    for name, (_, summary) in COMMANDS.items():
        assert f"{name} {summary}" in text


@pytest.mark.parametrize("name", ["segment", "models", "group", "describe"])
def test_every_command_has_help(name, capsys):
    status, out, _ = _exit([name, "--help"], capsys)
    assert status == 0
    assert out.startswith(f"usage: synthseg {name}")
    assert COMMANDS[name][1][1:] in " ".join(out.split())


def test_help_of_segment_explains_every_flag(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    _, out, _ = _exit(["segment", "--help"], capsys)
    described = dict(re.findall(r"^  (--[\w-]+)(.*(?:\n {10,}.*)?)$", out, re.MULTILINE))
    assert list(described) == SEGMENT_FLAGS
    for flag, rest in described.items():
        assert len(rest.strip()) > 15, flag
    for text in (f"default: {default_model()}", "default: auto", "at least one", "SCAN"):
        assert text in out


def test_parser_offers_exactly_the_flags_that_are_tested():
    subparsers = build_parser("segment")._subparsers
    assert subparsers is not None
    (choices,) = (action.choices for action in subparsers._group_actions)
    options = choices["segment"]._option_string_actions
    assert [option for option in options if option not in ("-h", "--help")] == SEGMENT_FLAGS


def test_only_the_chosen_command_is_imported():
    code = (
        "import sys; from synthseg_core.cli.main import build_parser; build_parser('describe');"
        "print(*[m for m in sys.modules if m.startswith('synthseg_core.cli.')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["synthseg_core.cli.main", "synthseg_core.cli.describe"]


def test_arguments_come_from_the_command_line_by_default(command, monkeypatch):
    seen = []
    command(lambda args: seen.append(args.scan) or 0)
    monkeypatch.setattr(sys, "argv", ["synthseg", "segment", "b.nii"])
    assert main() == 0
    assert seen == ["b.nii"]


def test_setting_of_the_user_stays(command, monkeypatch):
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    command(lambda args: 0)
    main(["segment", "a.nii"])
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "0"
