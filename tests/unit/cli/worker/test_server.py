"""The warm worker and its clients, as real processes over real sockets."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
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
    jobs_done,
    log_of,
    run,
    segment,
    through,
    wait_for,
    worker,
)

ALONE = "the command runs in a process of its own"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with scans; the names of sockets must be short, so it is not below pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="synthseg-test-"))
    for seed, name in enumerate(("one", "two")):
        write_nifti(folder / f"{name}.nii.gz", phantom((2.0, 2.0, 2.5), shape=(17, 21, 15), seed=seed))
    (folder / "empty.nii.gz").write_bytes(b"")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def shared(home):
    """The socket of a worker for all tests that leave it alive."""
    with worker(home / "shared.sock"):
        yield home / "shared.sock"


@pytest.fixture
def copy(home, tmp_path):
    """A folder of the test's own with the scans."""
    return Path(shutil.copytree(home, tmp_path / "scans", ignore=shutil.ignore_patterns("*.sock", "*.log")))


@pytest.fixture(scope="module")
def expected(home, tmp_path_factory):
    """What a process of its own makes of the first scan, and says."""
    folder = tmp_path_factory.mktemp("alone")
    shutil.copy(home / "one.nii.gz", folder)
    done = run([*PROGRAM, *segment("one.nii.gz")], folder)
    assert done.returncode == 0, done.stderr
    return contents(folder), done


# What a client sees


def test_results_and_messages_are_those_of_a_process_of_its_own(shared, expected, tmp_path, home):
    files, alone = expected
    for attempt in ("cold", "warm"):
        folder = tmp_path / attempt
        folder.mkdir()
        shutil.copy(home / "one.nii.gz", folder)
        before = jobs_done(shared)
        done = run(through(shared, segment("one.nii.gz")), folder)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", alone.stderr)
        assert contents(folder) == files
        assert jobs_done(shared) == before + 1


@pytest.mark.parametrize(
    "words",
    [
        segment("empty.nii.gz"),
        ["segment", "one.nii.gz", *MODEL],
        ["segment", "--nonsense"],
        ["segment", "--help"],
    ],
    ids=["empty scan", "no output", "usage", "help"],
)
def test_failures_are_those_of_a_process_of_its_own(shared, copy, words):
    before = jobs_done(shared)
    through_worker = run(through(shared, words), copy)
    after = contents(copy)
    alone = run([*PROGRAM, *words], copy)
    assert (through_worker.returncode, through_worker.stdout, through_worker.stderr) == (
        alone.returncode,
        alone.stdout,
        alone.stderr,
    )
    assert after == contents(copy)
    assert jobs_done(shared) == before + 1


def test_two_clients_at_once_in_folders_of_their_own(shared, home, expected, tmp_path):
    clients = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        shutil.copy(home / f"{name}.nii.gz", tmp_path / name)
        command = through(shared, segment(f"{name}.nii.gz"))
        clients.append(
            subprocess.Popen(command, cwd=tmp_path / name, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
        )
    said = [client.communicate(timeout=60)[1] for client in clients]
    assert [client.returncode for client in clients] == [0, 0]
    assert "one.nii.gz" in said[0]
    assert "two.nii.gz" not in said[0]
    assert "two.nii.gz" in said[1]
    assert contents(tmp_path / "one") == expected[0]


def test_umask_of_the_client_counts(shared, copy):
    subprocess.run(through(shared, segment("one.nii.gz")), cwd=copy, env=ENVIRONMENT, check=True, umask=0o077)
    run(through(shared, ["segment", "one.nii.gz", *MODEL, "--dseg", "other.nii.gz"]), copy)
    modes = [(copy / name).stat().st_mode & 0o777 for name in ("dseg.nii.gz", "other.nii.gz")]
    assert modes == [0o600, 0o666 & ~_umask()]


def _umask():
    umask = os.umask(0)
    os.umask(umask)
    return umask


def test_reader_that_has_gone_ends_only_its_own_job(shared, copy):
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen(
        through(shared, ["segment", "--help"]), cwd=copy, env=ENVIRONMENT, stdout=writing, stderr=subprocess.PIPE
    ) as client:
        os.close(writing)
        assert client.communicate(timeout=60)[1] == b""
    assert client.returncode == 141
    assert run(through(shared, segment("one.nii.gz")), copy).returncode == 0


def test_client_loads_neither_torch_nor_numpy(shared, copy):
    code = (
        "import sys; from synthseg_core.cli.main import main; status = main(sys.argv[1:]);"
        "print(status, *sorted({'torch', 'numpy', 'nibabel', 'yaml', 'importlib.metadata'} & set(sys.modules)))"
    )
    done = run([sys.executable, "-c", code, "--worker", str(shared), *segment("one.nii.gz")], copy)
    assert done.stdout == "0\n"


def test_client_costs_little(shared, copy):
    """Processor time of a whole process; it is 0.04 s where a bare interpreter takes 0.01 s."""
    assert min(_processor_seconds(through(shared, ["segment", "--help"]), copy) for _ in range(3)) < 0.15


def _processor_seconds(command, cwd):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(command, cwd)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


# Without a worker that would do the same


# Fails before it loads torch.
QUICK = ["segment", "one.nii.gz", "--model", "nobody", "--dseg", "a.nii"]


@pytest.mark.parametrize("address", ["", "nobody.sock", "x" * 300, "one.nii.gz"])
def test_without_a_worker_the_command_runs_here(address, copy):
    done = run([*PROGRAM, "--worker", address, *QUICK], copy)
    alone = run([*PROGRAM, *QUICK], copy)
    assert done.returncode == alone.returncode == 2
    assert done.stderr == alone.stderr


def test_other_environment_is_declined(shared, copy):
    done = run(through(shared, QUICK), copy, SYNTHSEG_MODELS="/else")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == f"synthseg: note: the worker declined (another environment); {ALONE}"
    assert "neither a registered model" in done.stderr


def test_other_number_of_threads_is_declined_unless_the_command_says_it(shared, copy):
    assert "another threads" in run(through(shared, QUICK), copy, OMP_NUM_THREADS="2").stderr
    assert ALONE not in run(through(shared, [*QUICK, "--threads", "2"]), copy, OMP_NUM_THREADS="2").stderr


def test_other_version_is_declined(shared, copy, tmp_path):
    package = Path(synthseg_core.__file__).parent
    shutil.copytree(package, tmp_path / "new" / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    done = run(through(shared, QUICK), copy, PYTHONPATH=str(tmp_path / "new"))
    assert "the worker declined (another code)" in done.stderr
    assert done.returncode == 2


def test_other_commands_run_here(shared, copy):
    before = jobs_done(shared)
    done = run(through(shared, ["models", "list"]), copy)
    assert "tiny-random" in done.stdout
    assert jobs_done(shared) == before


# Deaths


@contextmanager
def held_up(socket, folder):
    """Yield a client whose job is under way in the worker and cannot write: nobody reads its standard error.

    The job has begun when the reason of an earlier failure is gone; its first warning then finds a full pipe.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    filled = 0
    while True:
        try:
            filled += os.write(writing, b"." * 4096)
        except BlockingIOError:
            break
    os.set_blocking(writing, True)
    (folder / "reason.json").write_text("earlier")
    with subprocess.Popen(
        through(socket, segment("one.nii.gz")), cwd=folder, env=ENVIRONMENT, stderr=writing
    ) as client:
        os.close(writing)
        try:
            wait_for(lambda: not (folder / "reason.json").exists())
            with os.fdopen(reading, "rb") as said:
                yield client, said
        finally:
            client.kill()


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
        assert run(through(home / "memory.sock", segment("one.nii.gz")), copy).returncode == 0
        size = psutil.Process(process.pid).memory_info().vms
        resource.prlimit(process.pid, resource.RLIMIT_AS, (size + 60 * 2**20, resource.RLIM_INFINITY))
        starved = run(through(home / "memory.sock", segment("large.nii.gz")), copy)
        resource.prlimit(process.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert starved.returncode != 0
        assert "emory" in starved.stderr
        assert run(through(home / "memory.sock", segment("one.nii.gz")), copy).returncode == 0
        assert process.poll() is None


# Addresses


def test_name_that_no_socket_can_have_is_refused(tmp_path):
    done = run([*PROGRAM, "serve", str(tmp_path / ("x" * 120))], tmp_path)
    assert done.returncode == 2
    assert "expected at most 107" in done.stderr
