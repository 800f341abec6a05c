"""A Ray cluster: one that runs elsewhere, or one of processes on this machine."""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from speechcls import __version__
from speechcls.errors import ClusterError, ConfigError
from speechcls.parallel import default_jobs

ADDRESS_VARIABLE = "RAY_ADDRESS"
"""Ray's own, which is set in the jobs of a cluster."""
_LOCAL = "local"
_STORE_BYTES = 200_000_000
"""Of the memory that processes on this machine share: parts of the list and results on the way."""
_PATIENCE_S = 5.0
"""How long a cluster may take to accept a connection."""
_HEALTH_PATIENCE_S = 20.0
"""How long it may take to answer."""
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # reports nothing to its makers
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}
_INSTALL = "pip install 'speechcls[ray]'"


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process is connected to."""

    address: str | None
    """None: processes on this machine that end with this one."""
    n_machines: int
    n_cpus: int
    n_gpus: int
    cpus_per_gpu: int
    """Of the machine that has fewest; 0 without a GPU."""
    here: str
    """Resource of Ray that this machine alone has."""

    def describe(self) -> str:
        """Return what it is, for a note."""
        machines = "1 machine" if self.n_machines == 1 else f"{self.n_machines} machines"
        cpus = "1 CPU" if self.n_cpus == 1 else f"{self.n_cpus} CPUs"
        gpus = f" and {self.n_gpus} GPU{'s' * (self.n_gpus > 1)}" if self.n_gpus else ""
        where = "processes on this machine" if self.address is None else f"cluster {self.address}"
        return (
            f"{where}, {machines} with {cpus}{gpus}" if self.address else f"{where}, {cpus}{gpus}"
        )


def load_ray() -> Any:
    """Return Ray with Ray Data, quiet.

    Raises
    ------
    ConfigError
        When it is not installed.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ConfigError(
            f"needs the package {(error.name or 'ray').split('.')[0]}, which is not installed; run"
            f" {_INSTALL}",
            field="engine",
        ) from error
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return ray


@contextmanager
def open_cluster(address: str | None = None, workers: int | None = None) -> Iterator[Cluster]:
    """Connect to a cluster, or start one on this machine that ends with the block.

    Parameters
    ----------
    address : of a running cluster, as ``auto`` or ``HOST:PORT``; None: ``$RAY_ADDRESS``, else
        processes on this machine
    workers : CPUs of a cluster on this machine (default: all)

    Raises
    ------
    ConfigError
        When Ray is not installed, or the address is impossible.
    ClusterError
        When the cluster cannot be reached, or its machines have not this speechcls.
    """
    ray = load_ray()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"ray\.")  # how else to use it
        yield from _connected(ray, address or os.environ.get(ADDRESS_VARIABLE) or _LOCAL, workers)


def _connected(ray: Any, address: str, workers: int | None) -> Iterator[Cluster]:
    handler = signal.getsignal(signal.SIGTERM)
    try:
        _connect(ray, address, workers)
        # Ray takes the signal for itself, and would end this process without a word.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)
        _check_machines(ray)
        resources = ray.cluster_resources()
        nodes = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
        here = nodes[ray.get_runtime_context().get_node_id()]
        yield Cluster(
            None if address == _LOCAL else address,
            len(nodes),
            max(1, int(resources.get("CPU", 1))),
            int(resources.get("GPU", 0)),
            cpus_per_gpu([node["Resources"] for node in nodes.values()]),
            f"node:{here['NodeManagerAddress']}",
        )
    finally:
        ray.shutdown()


def cpus_per_gpu(machines: Sequence[Mapping[str, float]]) -> int:
    """Return how many CPUs there are for each GPU, at least 1, where there are fewest."""
    found = [int(m.get("CPU", 0) // m["GPU"]) for m in machines if m.get("GPU", 0) >= 1]
    return max(1, min(found)) if found else 0


def _connect(ray: Any, address: str, workers: int | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address == _LOCAL:
        ray.init(
            address=_LOCAL,
            num_cpus=workers or default_jobs(),
            include_dashboard=False,
            object_store_memory=_STORE_BYTES,
            **quiet,
        )
        return
    if address != "auto":
        _check_address(address)
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ClusterError(f"{address}: no cluster of this Ray ({reason}); {_ADVICE}") from error


_ADVICE = (
    "check that ray status names it on this machine, that both have the same Ray and Python, and"
    " set RAY_AUTH_MODE=token if it asks for a token; or leave the address out to use processes on"
    " this machine"
)


def _check_address(address: str) -> None:
    """Refuse an address where nothing answers, for which Ray itself waits long."""
    if address.startswith("ray://"):
        raise ConfigError(
            f"{address}: of a Ray client; run this on a machine of the cluster with auto, or with"
            " ray job submit",
            field="address",
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(
            f"{address}: no address of a cluster; give auto or HOST:PORT", field="address"
        )
    check = [sys.executable, "-m", "ray.scripts.scripts", "health-check"]
    there = os.environ | {ADDRESS_VARIABLE: address}
    try:
        socket.create_connection((host, int(port)), timeout=_PATIENCE_S).close()
        # Ray waits for ever for an answer of what is no cluster.
        subprocess.run(
            check, env=there, check=True, capture_output=True, timeout=_HEALTH_PATIENCE_S
        )
    except (OSError, OverflowError) as error:
        raise ClusterError(f"{address}: no cluster answers there ({error}); {_ADVICE}") from error
    except subprocess.SubprocessError as error:
        raise ClusterError(f"{address}: no cluster of this Ray answers there; {_ADVICE}") from error


def _check_machines(ray: Any) -> None:
    """Refuse a cluster with a machine on which this speechcls is not installed."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def look() -> tuple[str, str]:
        """Return the version of speechcls there, or why it cannot be used."""
        try:
            from importlib import import_module

            import_module("speechcls.cluster.tasks")
            return str(import_module("speechcls").__version__), ""
        except ImportError as error:
            return "", str(error)

    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    task = ray.remote(num_cpus=0, max_retries=2)(look)
    answers = {
        node["NodeManagerAddress"]: task.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote()
        for node in nodes
    }
    for machine, answer in answers.items():
        version, fault = ray.get(answer)
        if fault:
            raise ClusterError(
                f"{machine}: speechcls cannot be used on this machine of the cluster ({fault});"
                f" install it on all of them, {_INSTALL}, or submit a job whose runtime"
                " environment has it"
            )
        if version != __version__:
            raise ClusterError(
                f"{machine}: this machine of the cluster has speechcls {version}, and here is"
                f" {__version__}; install the same"
            )
