"""A cluster of Ray: what is asked of it, how it is started or joined, and whether it has that."""

import os
import socket
from dataclasses import dataclass
from typing import Any, final

from unsee.errors import OptionError
from unsee.workers import WorkerError

STORE = 512 * 2**20
"""Bytes for results under way on a machine of its own; more is never needed with so few parts under way."""
LISTENS = 10.0
"""Seconds that the machine at an address may take to answer."""


@final
@dataclass(frozen=True)
class Cluster:
    """What is asked of Ray.

    Attributes:
        workers: how many.
        address: of a cluster that runs, as `HOST:PORT` or "auto"; None starts one on this machine, for this run.
        cpus: cores of each; also its threads, on which the last bits of a sum depend.
        gpus: devices of each; None for one where the cluster has any.
    """

    workers: int = 2
    address: str | None = None
    cpus: int = 1
    gpus: float | None = None

    def __post_init__(self) -> None:
        if self.workers < 1 or self.cpus < 1 or (self.gpus or 0) < 0:
            raise OptionError(
                f"{self.workers} workers with {self.cpus} cores and {self.gpus} GPUs each, expected at least one "
                "worker, one core, and no negative number of GPUs."
            )


def join(ray: Any, cluster: Cluster) -> None:
    """Start Ray on this machine, or join the cluster at the address; reports no usage to anybody.

    Raises:
        WorkerError: nothing listens there, or it refuses.
        OptionError: the address is none.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    here = {"num_cpus": cluster.workers * cluster.cpus, "object_store_memory": STORE, "include_dashboard": False}
    if cluster.address and cluster.address != "auto":
        _require_listener(cluster.address)  # Ray itself would try for many minutes
    if ray.is_initialized():
        raise WorkerError("Ray is in use in this process already, expected to start it. Leave the other use first.")
    try:
        ray.init(
            address=cluster.address or "local", log_to_driver=False, logging_level="ERROR",
            **({} if cluster.address else here),
        )  # fmt: skip
    except (OSError, RuntimeError, ValueError, ImportError, ray.exceptions.RayError) as error:
        where = f"at {cluster.address}" if cluster.address else "on this machine"
        raise WorkerError(
            f"there is no Ray cluster {where}: {first_line(error)} Expected one that 'ray start --head' has started, "
            "of this version of Ray, with its token in RAY_AUTH_TOKEN. Check the address, or leave it out."
        ) from error


def _require_listener(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), LISTENS).close()
    except ValueError:
        raise OptionError(f"the address of the cluster is {address!r}, expected HOST:PORT or 'auto'.") from None
    except OSError as error:
        raise WorkerError(
            f"nothing listens at {address}: {error}. Start a cluster there with 'ray start --head', or leave the "
            "address out to work on this machine alone."
        ) from error


def required(ray: Any, cluster: Cluster) -> float:
    """GPUs of a worker.

    Raises:
        OptionError: the cluster has not what is asked for.
    """
    there = ray.cluster_resources()
    gpus = cluster.gpus if cluster.gpus is not None else float(there.get("GPU", 0) > 0)
    for name, each in (("GPU", gpus), ("CPU", cluster.cpus)):
        if (wanted := each * cluster.workers) > (got := there.get(name, 0)):
            raise OptionError(
                f"{cluster.workers} workers of {each:g} {name} each take {wanted:g}, but the cluster has {got:g}. Ask "
                "for fewer workers, or for less each; 'ray status' shows what there is."
            )
    return gpus


def first_line(error: BaseException) -> str:
    """Of what an error says."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
    return f"{line}."
