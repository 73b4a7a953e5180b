"""Words of the command line that are for Snakemake."""

from synthseg_core.app.arguments import split_off_snakemake


def test_words_after_two_dashes_are_for_snakemake():
    assert split_off_snakemake(["a", "--", "-p", "--", "x"]) == (["a"], ["-p", "--", "x"])
    assert split_off_snakemake(["a"]) == (["a"], [])
