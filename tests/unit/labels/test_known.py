"""What tables know about a label: where they overlap they agree."""

from __future__ import annotations

from synthseg_core.labels.known import FIRST_TISSUE, builtin_entries, guessed, known_entries


def test_tables_agree_where_they_overlap():
    builtin = builtin_entries()
    known = known_entries()
    assert len(builtin) == 54
    assert known[1001].counterpart == 2001
    assert known[FIRST_TISSUE].output == 0
    assert all(known[value] is not None and known[value].side == entry.side for value, entry in builtin.items())
    assert known_entries({2: guessed(2)})[2].known is False
