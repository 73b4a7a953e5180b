"""Options by other names, underscores, mistakes of one line: the parser that all commands share."""

from __future__ import annotations

import pytest

from synthseg_core.errors import InputError
from synthseg_core.system.command_line import ForeignOption, Parser, Several, read_foreign_options

FOREIGN = (
    ForeignOption("--space", "this", "--room", ""),
    ForeignOption("--space-gb", "this", "--room={}G", ""),
    ForeignOption("--dark", "this", "--light=off", ""),
    ForeignOption("-s", "this", "--room", ""),
    ForeignOption("--paint-*", "that", "", "rooms have no paint; leave it out"),
)
DASH = "found a dash, which text programs make of two hyphens; write"


@pytest.fixture
def parser() -> Parser:
    made = Parser(prog="house")
    made.foreign = FOREIGN
    made.add_argument("street", nargs="?")
    made.add_argument("--room", "-r")
    made.add_argument("--light")
    made.add_argument("--front_door", action="store_true")
    made.add_argument("--lamps", nargs="+", action=Several, metavar="LAMP")
    made.add_argument("--floor", type=int)
    return made


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("--space 3", {"room": "3"}),
        ("--space=3", {"room": "3"}),
        ("--space_gb 3", {"room": "3G"}),
        ("--space-gb=3", {"room": "3G"}),
        ("--dark", {"light": "off"}),
        ("-s4", {"room": "4"}),
        ("-r4", {"room": "4"}),
        ("-r a_b", {"room": "a_b"}),
        ("--room --", {}),
        ("--front-door", {"front_door": True}),
        ("--front_door x", {"front_door": True, "street": "x"}),
        ("--floor -1", {"floor": -1}),
        ("--lamps a,b c --lamps b,,d", {"lamps": ["a", "b", "c", "d"]}),
        ("-- --space", {"street": "--space"}),
        ("\N{EN DASH}strand", {"street": "\N{EN DASH}strand"}),
    ],
)
def test_what_is_typed_becomes_our_options(parser, typed, found, capsys):
    if typed == "--room --":
        with pytest.raises(SystemExit):
            parser.parse_args(typed.split())
        assert capsys.readouterr().err == "house: error: --room/-r: expected one argument; see 'house --help'\n"
        return
    said = {name: value for name, value in vars(parser.parse_args(typed.split())).items() if value}
    assert said == found


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("--paint-red 1", "--paint-red: found an option of that; rooms have no paint; leave it out"),
        ("--paint_red=1", "--paint-red: found an option of that; rooms have no paint; leave it out"),
        ("--fro", "--fro: found no such option; did you mean --front_door?"),
        ("--l 1", "--l: found no such option; did you mean --light or --lamps?"),
        ("--rooms 1", "--rooms: found no such option; did you mean --room?"),
        ("--LIGHT on", "--LIGHT: found no such option; did you mean --light?"),
        ("--spaces 1", "--spaces: found no such option; did you mean --room?"),
        ("\N{EN DASH}room 3", "\N{EN DASH}room: found a dash, which text programs make of two hyphens; write --room"),
        (
            "\N{EM DASH}front_door",
            "\N{EM DASH}front_door: found a dash, which text programs make of two hyphens; write --front_door",
        ),
        ("--xyzzy", "--xyzzy: found no such option; see 'house --help'"),
        ("--floor low", "--floor: invalid int value: 'low'; see 'house --help'"),
        ("--lamps ,", "--lamps: found ','; expected at least one LAMP"),
        ("a b", "unrecognized arguments: b; see 'house --help'"),
    ],
)
def test_mistakes_are_one_line_and_2(parser, typed, line, capsys):
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(typed.split())
    assert capsys.readouterr().err == f"house: error: {line}\n"


def test_commands_answer_for_their_own_options(capsys):
    house = Parser(prog="house")
    house.add_argument("--colour")
    sell = house.add_subparsers(dest="what").add_parser("sell")
    sell.add_argument("--price")
    sell.foreign = (ForeignOption("--cost", "this", "--price", ""),)
    assert house.parse_args(["--colour", "red", "sell", "--cost", "3"]).price == "3"
    with pytest.raises(SystemExit, match="2"):
        house.parse_args(["sell", "--prize", "3"])
    assert capsys.readouterr().err == "house sell: error: --prize: found no such option; did you mean --price?\n"


def test_table_of_options(tmp_path):
    table = tmp_path / "options.tsv"
    table.write_text("# source\noption\tprogram\tinstead\tadvice\n--space\tthis\t--room\t\n")
    assert read_foreign_options(table) == FOREIGN[:1]
    table.write_text("option\tinstead\n--space\t--room\n")
    with pytest.raises(InputError, match="also program, advice"):
        read_foreign_options(table)
