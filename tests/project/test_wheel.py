"""The built wheel, installed alone: no checkout in sight, the dependencies borrowed from this environment."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import synthseg_core
from tests.phantoms.scans import phantom, write_nifti

REPOSITORY = Path(__file__).resolve().parents[2]
CARRIED = ("workflow", "config", "profiles", "envs")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, REPOSITORY]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """A virtual environment with the wheel, and this environment's packages behind it."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, symlinks=True)
    site = next(folder.glob("lib/python*/site-packages"))
    # A path in a .pth file is searched, but .pth files there are not run: the checkout stays out of sight.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--quiet", wheel], check=True, capture_output=True)
    return folder


def test_wheel_carries_the_workflow_and_the_resources(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    files = [path for part in CARRIED for path in (REPOSITORY / part).rglob("*") if path.is_file()]
    expected = {f"synthseg_core/app/bundle/{path.relative_to(REPOSITORY).as_posix()}" for path in files}
    resources = (REPOSITORY / "synthseg_core" / "resources").rglob("*.*")
    expected |= {path.relative_to(REPOSITORY).as_posix() for path in resources}
    assert expected <= names
    assert not [name for name in names if name.startswith("tests/") or "__pycache__" in name]


def test_installed_package_is_the_wheel(environment, tmp_path):
    code = (
        "import synthseg_core as s; from synthseg_core.app.bundle import snakefile; print(s.__version__, snakefile())"
    )
    done = subprocess.run(
        [environment / "bin/python", "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    version, path = done.stdout.split()
    assert version == synthseg_core.__version__
    assert Path(path).is_relative_to(environment.resolve())


def test_wheel_alone_segments_a_phantom(environment, tmp_path):
    write_nifti(tmp_path / "bids/sub-1/anat/sub-1_T1w.nii.gz", phantom(shape=(13, 11, 15)))
    command = [
        environment / "bin/synthseg-bids",
        "bids",
        "out",
        "participant",
        "--model",
        "tiny-random",
        "--n-cpus",
        "2",
    ]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/sub-1/anat/sub-1_space-T1w_seg-synthseg_dseg.nii.gz").is_file()
    assert (tmp_path / "out/group_seg-synthseg_volumes.tsv").is_file()
