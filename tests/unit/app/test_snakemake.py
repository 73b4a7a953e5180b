"""The environment of Snakemake."""

import getpass
import os
from pathlib import Path

import pytest

from synthseg_core.app import snakemake
from synthseg_core.app.snakemake import ChildEnd, SnakemakeCall, child_environment
from tests.phantoms.trees import make_tree
from tests.privileges import ordinary_user


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
    call = SnakemakeCall(tmp_path, tmp_path / "run_config.yaml", tmp_path / "profile", 1, ())
    assert snakemake.run_snakemake(call, "all") == ChildEnd(0, interrupted=False)
    assert (tmp_path / "made").is_file()


def test_other_variables_are_passed_on(monkeypatch):
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "theirs")
    monkeypatch.setenv("SNAKEMAKE_SLURM_PARTITIONS", "partitions.yaml")
    assert set(os.environ) - set(child_environment()) == {"SNAKEMAKE_PROFILE"}


NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME", "XDG_CACHE_HOME", "SYNTHSEG_MODELS")


@pytest.fixture
def nameless(monkeypatch):
    """An environment that says nothing of the user."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOGNAME", "me")
    return monkeypatch


def added(cache):
    environment = child_environment(cache)
    return {name: environment[name] for name in (*NAMES, "HOME") if environment.get(name) != os.environ.get(name)}


def test_a_home_of_use_is_used(nameless, tmp_path):
    nameless.setenv("HOME", str(tmp_path / "me"))
    (tmp_path / "me").mkdir()
    assert added(tmp_path / "cache") == {}


@pytest.mark.parametrize("kind", ["gone", "read-only", "cache is a file", "cache is read-only"])
def test_a_home_that_cannot_be_written_to(nameless, kind):
    """As on the nodes of clusters and in containers without it; weights that are in there are still found."""
    with ordinary_user() as folder:
        home, cache = folder / "above" / "me", folder / "work" / "cache"
        expected = {"XDG_CACHE_HOME": str(cache)}
        make_tree(home, [".cache"] if kind == "cache is a file" else [".bashrc"])
        if kind == "cache is read-only":
            make_tree(home, [".cache/synthseg/weights.h5"])
            (home / ".cache").chmod(0o500)
            expected["SYNTHSEG_MODELS"] = str(home / ".cache" / "synthseg")
        home.chmod(0o500)
        nameless.setenv("HOME", str(home / "gone" if kind == "gone" else home))
        assert added(cache) == expected
        nameless.setenv("SYNTHSEG_MODELS", "/elsewhere")
        assert added(cache) == {"XDG_CACHE_HOME": str(cache)}
        for path in (home, home / ".cache"):
            if path.is_dir():
                path.chmod(0o700)


def test_a_user_without_name_and_home(nameless, tmp_path):
    """``docker run --user 54321``: Python knows no name, and leaves a tilde as it is."""

    def unknown():
        raise KeyError("getpwuid(): uid not found: 54321")

    nameless.setattr(getpass, "getuser", unknown)
    nameless.setattr(snakemake, "user_cache", lambda: None)
    cache = str(tmp_path / "cache")
    assert added(Path(cache)) == {"LOGNAME": f"user-{os.getuid()}", "XDG_CACHE_HOME": cache, "HOME": cache}
