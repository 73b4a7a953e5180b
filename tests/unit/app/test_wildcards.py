"""Wildcards of jobs, and functions that rules ask with them."""

from inspect import signature
from types import SimpleNamespace

from synthseg_core.app.wildcards import of_scan, stem_of, with_signature

FIRST = "sub-01/anat/sub-01_space-T1w"


def test_wildcards_have_a_stem_whole_or_in_two_parts():
    scan_of = of_scan(str.upper)
    whole, parts = SimpleNamespace(scan=FIRST), SimpleNamespace(before="sub-01/anat/sub-01", suffix="T1w")
    assert stem_of(whole) == stem_of(parts) == FIRST
    assert scan_of(whole) == scan_of(parts) == FIRST.upper()


def test_functions_of_rules_carry_their_signature():
    """Snakemake asks for it often, and passes only the arguments that it names."""

    @with_signature
    def memory(wildcards, attempt):
        return 1000 * attempt

    assert list(signature(memory).parameters) == ["wildcards", "attempt"]
    assert list(signature(of_scan(str)).parameters) == ["wildcards"]
    assert all(signature(function) is function.__signature__ for function in (memory, of_scan(str)))
    assert memory(None, attempt=2) == 2000
