"""How many processes do a task, what each has, and what is said where they cannot."""

import pytest

from speechcls.cluster.connection import Cluster, cpus_per_gpu
from speechcls.cluster.scoring import as_own_error, choose_workers
from speechcls.cluster.tasks import DetectTask, PredictTask
from speechcls.errors import ArtifactError, ClusterError, ConfigError

WITHOUT = Cluster("auto", 2, 16, 0, 0, "node:a")
WITH = Cluster("auto", 3, 48, 4, 8, "node:a")


def test_each_process_has_a_cpu():
    assert choose_workers("cpu", WITHOUT, None) == (16, 1, 0)
    assert choose_workers("cpu", WITH, 5) == (5, 1, 0)


def test_each_process_has_a_gpu_and_its_part_of_the_cpus():
    assert choose_workers("cuda", WITH, None) == (4, 8, 1)
    assert choose_workers("cuda", WITH, 3) == (3, 8, 1)
    assert WITH.describe() == "cluster auto, 3 machines with 48 CPUs and 4 GPUs"


def test_without_gpus_or_so_many_it_is_refused():
    with pytest.raises(
        ConfigError, match="cuda: no GPU that Ray knows of in cluster auto"
    ) as caught:
        choose_workers("cuda", WITHOUT, None)
    assert caught.value.field == "device"
    with pytest.raises(
        ConfigError, match="5 processes, each with a GPU, and there are 4"
    ) as caught:
        choose_workers("cuda", WITH, 5)
    assert caught.value.field == "workers"


def test_the_cpus_of_a_gpu_are_those_of_the_machine_that_has_fewest():
    machines = [{"CPU": 64.0}, {"CPU": 64.0, "GPU": 8.0}, {"CPU": 4.0, "GPU": 1.0}]
    assert cpus_per_gpu(machines) == 4
    assert cpus_per_gpu([{"CPU": 2.0, "GPU": 4.0}]) == 1
    assert cpus_per_gpu([{"CPU": 2.0, "GPU": 0.0}]) == 0


def test_a_device_that_there_is_nowhere_is_refused():
    with pytest.raises(ConfigError, match="no 'tpu'; there are cpu, cuda"):
        PredictTask(None, device="tpu")
    assert (PredictTask(None).device, DetectTask(None).device) == ("cpu", "cpu")


def test_our_errors_come_back_out_of_those_of_ray():
    class Dual(ConfigError):
        """As Ray makes one: of the class of its cause, and with a text alone."""

        def __init__(self, cause):
            self.cause, self.args = cause, (str(cause),)

    own = as_own_error(Dual(ConfigError("no such thing", ("one", "two"), field="device")))
    assert (type(own), own.field, own.details) == (ConfigError, "device", ("one", "two"))
    text = "The actor died\n  File x\nspeechcls.errors.ArtifactError: m: damaged; copy it"
    own = as_own_error(RuntimeError(text))
    assert (type(own), str(own)) == (ArtifactError, "m: damaged; copy it")
    other = as_own_error(RuntimeError("first\nlast"))
    assert (type(other), other.args[0]) == (
        ClusterError,
        "the cluster failed (RuntimeError: last); start this again to go on",
    )
