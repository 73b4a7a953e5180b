"""The environment of Snakemake."""

import os

from synthseg_core.app import snakemake
from synthseg_core.app.snakemake import ChildEnd, SnakemakeCall, child_environment


def test_profile_of_the_users_environment_is_not_taken(tmp_path, monkeypatch):
    """Only ``--profile`` of the front door says how jobs run."""
    files = {
        "Snakefile": "rule all:\n    output: touch('made')\n",
        "run_config.yaml": "{}",
        "profile/config.yaml": "{quiet: [all]}",
        "theirs/config.yaml": "{executor: nowhere}",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("SNAKEMAKE_PROFILE", str(tmp_path / "theirs"))
    monkeypatch.setattr(snakemake, "snakefile", lambda: tmp_path / "Snakefile")
    call = SnakemakeCall(tmp_path, tmp_path / "run_config.yaml", tmp_path / "profile", 1, 0)
    assert snakemake.run_snakemake(call, "all") == ChildEnd(0, interrupted=False)
    assert (tmp_path / "made").is_file()


def test_other_variables_are_passed_on(monkeypatch):
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "theirs")
    monkeypatch.setenv("SNAKEMAKE_SLURM_PARTITIONS", "partitions.yaml")
    assert set(os.environ) - set(child_environment()) == {"SNAKEMAKE_PROFILE"}
