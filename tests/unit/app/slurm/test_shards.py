"""Shards: which scans a job array takes, and the options of sbatch."""

from synthseg_core.app.slurm.run import shard_options
from synthseg_core.app.slurm.shards import Allocation, pending_scans


def options(tmp_path, text):
    (tmp_path / "shards.yaml").write_text(text)
    given = shard_options(tmp_path)
    assert given is not None
    return given


def test_array_and_options_of_sbatch(tmp_path):
    given = options(tmp_path, "{at_once: 2, allocation: {partition: a100, extra: [--qos=long], gres: null, cpus: 3}}")
    assert given.array_word(7) == "--array=1-7%2"
    size = ["--nodes=1", "--ntasks=1", "--cpus-per-task=3", "--mem=32000M", "--time=480"]
    assert given.allocation.words() == ["--partition=a100", *size, "--qos=long"]
    assert given.group == Allocation(None, None, None, 1, 2000, 30, ())
    assert options(tmp_path, "").array_word(7) == "--array=1-7"


def test_scans_of_which_snakemake_would_make_anything():
    columns = "output_file\tdate\trule\tlog-file(s)\tstatus\tplan"
    rows = [("a b.nii", "no update"), ("a.tsv", "no update"), ('b".nii', "no update"), ("b.tsv", "update pending")]
    summary = "\n".join([columns, *(f"{path}\t-\tsegment\t-\tok\t{plan}" for path, plan in rows)])
    files = {"a": ["a b.nii", "a.tsv"], "b": ['b".nii', "b.tsv"], "not told of": ["c.nii"]}
    assert pending_scans(files, summary) == ["b", "not told of"]
