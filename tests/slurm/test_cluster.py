"""The SLURM of the tests does what they rely on."""

import pytest

pytestmark = pytest.mark.slurm


def test_jobs_get_the_gpu_that_is_none(cluster):
    answer = cluster.call("srun", "--partition=gpu", "--gres=gpu:1", "bash", "-c", "echo $CUDA_VISIBLE_DEVICES")
    assert answer == "0\n"


def test_elements_of_an_array_are_jobs_until_they_are_cancelled(cluster):
    number = cluster.call("sbatch", "--parsable", "--array=1-3", "--mem=10", "--wrap", "sleep 100").strip()
    assert cluster.jobs() == [f"{number}_{element}" for element in (1, 2, 3)]
    cluster.cancel_all()
    assert cluster.jobs() == []
