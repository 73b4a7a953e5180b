"""The warm worker and its clients, as real processes over real sockets."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import synthseg_core
from tests.phantoms.scans import phantom, write_nifti
from tests.phantoms.trees import contents
from tests.unit.cli.worker.worker_process import (
    ENVIRONMENT,
    MODEL,
    PROGRAM,
    held_up,
    jobs_done,
    log_of,
    run,
    segment,
    through,
    wait_for,
    worker,
)

ALONE = "the command runs in a process of its own"


# What a client sees


def test_results_and_messages_are_those_of_a_process_of_its_own(shared, expected, tmp_path, home):
    files, said = expected
    for attempt in ("cold", "warm"):
        folder = tmp_path / attempt
        folder.mkdir()
        shutil.copy(home / "one.nii.gz", folder)
        before = jobs_done(shared)
        done = run(through(shared, segment(folder / "one.nii.gz")), home)
        assert (done.returncode, done.stdout, done.stderr.replace(str(folder), "FOLDER")) == (0, "", said)
        assert contents(folder) == files
        assert jobs_done(shared) == before + 1


@pytest.mark.parametrize(
    "words",
    [
        ["segment", "empty.nii.gz", *MODEL, "--dseg", "{folder}/dseg.nii.gz", "--log-json", "{folder}/reason.json"],
        ["segment", "one.nii.gz", *MODEL],
        ["segment", "--nonsense"],
        ["segment", "--help"],
    ],
    ids=["empty scan", "no output", "usage", "help"],
)
def test_failures_are_those_of_a_process_of_its_own(shared, home, tmp_path, words):
    words = [word.format(folder=tmp_path) for word in words]
    before = jobs_done(shared)
    through_worker = run(through(shared, words), home)
    after = contents(tmp_path)
    alone = run([*PROGRAM, *words], home)
    assert (through_worker.returncode, through_worker.stdout, through_worker.stderr) == (
        alone.returncode,
        alone.stdout,
        alone.stderr,
    )
    assert after == contents(tmp_path)
    assert jobs_done(shared) == before + 1


def test_two_clients_at_once(shared, home, expected, tmp_path):
    clients = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        scan = Path(shutil.copy(home / f"{name}.nii.gz", tmp_path / name))
        command = through(shared, segment(scan))
        clients.append(subprocess.Popen(command, cwd=home, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True))
    said = [client.communicate(timeout=60)[1] for client in clients]
    assert [client.returncode for client in clients] == [0, 0]
    assert "one.nii.gz" in said[0]
    assert "two.nii.gz" not in said[0]
    assert "two.nii.gz" in said[1]
    assert contents(tmp_path / "one") == expected[0]


def test_reader_that_has_gone_ends_only_its_own_job(shared, home, copy):
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen(
        through(shared, ["segment", "--help"]), cwd=home, env=ENVIRONMENT, stdout=writing, stderr=subprocess.PIPE
    ) as client:
        os.close(writing)
        assert client.communicate(timeout=60)[1] == b""
    assert client.returncode == 141
    assert run(through(shared, segment(copy / "one.nii.gz")), home).returncode == 0


def test_client_loads_neither_torch_nor_numpy(shared, home, copy):
    code = (
        "import sys; from synthseg_core.cli.main import main; status = main(sys.argv[1:]);"
        "print(status, *sorted({'torch', 'numpy', 'nibabel', 'yaml', 'importlib.metadata'} & set(sys.modules)))"
    )
    done = run([sys.executable, "-c", code, "--worker", str(shared), *segment(copy / "one.nii.gz")], home)
    assert done.stdout == "0\n"


def test_client_costs_little(shared, home):
    """Processor time of a whole process: 4 to 9 times that of a bare interpreter; with torch it would be 100 times."""
    bare = min(_processor_seconds([sys.executable, "-c", "pass"], home) for _ in range(3))
    assert min(_processor_seconds(through(shared, ["segment", "--help"]), home) for _ in range(3)) < 12 * bare + 0.05


def _processor_seconds(command, cwd):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(command, cwd)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


# Without a worker that would do the same


# Fails before it loads torch.
QUICK = ["segment", "one.nii.gz", "--model", "nobody", "--dseg", "a.nii"]


@pytest.mark.parametrize("address", ["", "nobody.sock", "x" * 300, "one.nii.gz"])
def test_without_a_worker_the_command_runs_here(address, home):
    done = run([*PROGRAM, "--worker", address, *QUICK], home)
    alone = run([*PROGRAM, *QUICK], home)
    assert done.returncode == alone.returncode == 2
    assert done.stderr == alone.stderr


def test_other_environment_is_declined(shared, home):
    done = run(through(shared, QUICK), home, SYNTHSEG_MODELS="/else")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == f"synthseg: note: the worker declined (another environment); {ALONE}"
    assert "neither a registered model" in done.stderr


def test_other_folder_or_umask_is_declined(shared, home, copy):
    """They belong to a process as a whole; the command then runs where the caller is."""
    done = run(through(shared, ["segment", "one.nii.gz", *MODEL, "--dseg", "dseg.nii.gz"]), copy)
    assert f"the worker declined (another working folder); {ALONE}" in done.stderr
    assert (copy / "dseg.nii.gz").exists()
    words = ["segment", "one.nii.gz", *MODEL, "--dseg", str(copy / "private.nii.gz")]
    done = subprocess.run(
        through(shared, words), cwd=home, env=ENVIRONMENT, umask=0o027, capture_output=True, text=True, check=True
    )
    assert f"the worker declined (another umask); {ALONE}" in done.stderr
    assert (copy / "private.nii.gz").stat().st_mode & 0o777 == 0o640


def test_other_number_of_threads_is_declined_unless_the_command_says_it(shared, home):
    assert "another threads" in run(through(shared, QUICK), home, OMP_NUM_THREADS="2").stderr
    assert ALONE not in run(through(shared, [*QUICK, "--threads", "2"]), home, OMP_NUM_THREADS="2").stderr


def test_other_version_is_declined(shared, home, tmp_path):
    package = Path(synthseg_core.__file__).parent
    shutil.copytree(package, tmp_path / "new" / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    done = run(through(shared, QUICK), home, PYTHONPATH=str(tmp_path / "new"))
    assert "the worker declined (another code)" in done.stderr
    assert done.returncode == 2


def test_other_commands_run_here(shared, home):
    before = jobs_done(shared)
    done = run(through(shared, ["models", "list"]), home)
    assert "tiny-random" in done.stdout
    assert jobs_done(shared) == before


# Deaths


def test_killed_client_gets_no_outputs(shared, copy):
    before = jobs_done(shared)
    with held_up(shared, copy) as (client, said):
        client.kill()
        client.wait()
        said.read()
    wait_for(lambda: jobs_done(shared) == before + 1)
    assert log_of(shared).read_text().splitlines()[-1].count('"status": null') == 1
    assert sorted(path.name for path in copy.iterdir()) == ["empty.nii.gz", "one.nii.gz", "two.nii.gz"]


def test_interrupted_client_is_130(shared, copy):
    before = jobs_done(shared)
    with held_up(shared, copy) as (client, said):
        client.send_signal(signal.SIGINT)
        text = said.read().lstrip(b".").decode()
        assert client.wait(60) == 130
    assert text.endswith("synthseg segment: interrupted\n")
    wait_for(lambda: jobs_done(shared) == before + 1)
    assert not (copy / "dseg.nii.gz").exists()


@pytest.mark.parametrize("moment", range(4))
def test_worker_asked_to_end_while_it_starts_leaves_no_socket(home, moment):
    """As soon as somebody could connect, and a little later."""
    socket = home / f"early-{moment}.sock"
    with subprocess.Popen([*PROGRAM, "serve", str(socket)], env=ENVIRONMENT, stdout=subprocess.DEVNULL) as process:
        while not socket.exists():
            time.sleep(0.0002)
        time.sleep(0.001 * moment)
        process.terminate()
    assert (process.returncode, socket.exists()) == (0, False)


def test_asked_to_end_it_ends_in_good_order(home):
    with worker(home / "ended.sock") as process:
        assert (home / "ended.sock").stat().st_mode & 0o777 == 0o600
        process.terminate()
        assert process.wait(20) == 0
    assert not (home / "ended.sock").exists()
    assert log_of(home / "ended.sock").read_text() == ""


@pytest.mark.slow
def test_job_without_memory_fails_alone(home, copy):
    """The limit comes once the worker is warm, and goes again."""
    write_nifti(copy / "large.nii.gz", phantom((1.0, 1.0, 1.0), shape=(150, 160, 140)))
    with worker(home / "memory.sock") as process:
        assert run(through(home / "memory.sock", segment(copy / "one.nii.gz")), home).returncode == 0
        size = psutil.Process(process.pid).memory_info().vms
        resource.prlimit(process.pid, resource.RLIMIT_AS, (size + 60 * 2**20, resource.RLIM_INFINITY))
        starved = run(through(home / "memory.sock", segment(copy / "large.nii.gz")), home)
        resource.prlimit(process.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert starved.returncode != 0
        assert "emory" in starved.stderr
        assert run(through(home / "memory.sock", segment(copy / "one.nii.gz")), home).returncode == 0
        assert process.poll() is None


# Addresses


def test_name_that_no_socket_can_have_is_refused(tmp_path):
    done = run([*PROGRAM, "serve", str(tmp_path / ("x" * 120))], tmp_path)
    assert done.returncode == 2
    assert "expected at most 107" in done.stderr
