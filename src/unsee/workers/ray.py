"""Workers as actors of Ray: on this machine, or on the machines of a cluster that runs already."""

import errno
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, TypeVar, final

from unsee.extras import extra
from unsee.workers import P, R, WorkerError
from unsee.workers.cluster import Cluster, first_line, join, required

W = TypeVar("W")
AHEAD = 2
"""Parts that a worker has at a time: one that it works on and one that waits, so that it never does."""
DEATHS = 3
"""Workers that one part may cost before it is to blame."""
BEAT = 2.0
"""Seconds after which it is asked whether the cluster is still there."""
GONE = 20.0
"""Seconds without an answer after which it is not; Ray itself ends this process after 60, without an error."""
START = 1800.0
"""Seconds that a worker may take until it holds its model."""


@contextmanager
def on_ray(
    make: Callable[[], W],
    about: Callable[[W], Mapping[str, Any]],
    cluster: Cluster,
) -> Iterator["RayWorkers[W]"]:
    """Workers while open.

    Args:
        make: makes what each of them holds, there.
        about: everything that decides its results, as JSON values: code, model and its digest.
        cluster: how many, and where.

    Raises:
        MissingExtraError: Ray is not installed.
        OptionError: the cluster has not what is asked for.
        WorkerError: there is no cluster at the address, no worker starts, or they differ: another version of the code,
            another model.
    """
    ray = extra("ray", "scale")
    join(ray, cluster)
    try:
        with_gpus = required(ray, cluster)
        workers: RayWorkers[W] = RayWorkers(ray, make, about, with_gpus, cluster)
        try:
            workers.start()
            yield workers
        finally:
            workers.stop()
    finally:
        ray.shutdown()


class _Actor:
    """One process: makes what it holds when it is told to, so that errors keep their type."""

    def begin(self, make: Callable[[], Any], about: Callable[[Any], Mapping[str, Any]]) -> Mapping[str, Any]:
        with _naming_a_full_disk():
            self._held = make()
        return dict(about(self._held))

    def do(self, work: Callable[[Any, Any], Any], part: Any) -> Any:
        with _naming_a_full_disk():
            return work(self._held, part)


@contextmanager
def _naming_a_full_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise WorkerError(
            f"there is no room on the disk of {socket.gethostname()}: {error}. Free some there and run the same "
            "command again; what is finished is kept."
        ) from error


@dataclass(eq=False)
class _Worker:
    """An actor, and what it has been given, oldest first; nothing but `begin` before that has come back."""

    actor: Any
    given: deque[tuple[Any, int, Any]] = field(default_factory=deque)
    ready: bool = False


_BEGIN = -1
"""Place of no part: the worker is being made."""


@final
class RayWorkers(Generic[W]):
    """Workers of Ray; one that is lost is replaced, and its parts are given to others."""

    def __init__(
        self,
        ray: Any,
        make: Callable[[], W],
        about: Callable[[W], Mapping[str, Any]],
        gpus: float,
        cluster: Cluster,
    ) -> None:
        self._ray, self._make, self._about, self._said = ray, make, about, dict[str, Any]()
        self._gpus, self._cluster, self._workers = gpus, cluster, list[_Worker]()
        self._host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        self._port, self._deaths = int(port), Counter[int]()

    def start(self) -> None:
        """Make all workers and wait for them, so that one that differs is found before any work is done."""
        self._workers = [self._new() for _ in range(self._cluster.workers)]
        while not all(worker.ready for worker in self._workers):
            for _ in self._finished(deque()):
                pass

    def stop(self) -> None:
        """End them; those of a cluster that is gone are gone."""
        for worker in self._workers if self._unreachable() is None else ():
            self._ray.kill(worker.actor)

    def map(self, work: Callable[[W, P], R], parts: Iterable[P], *, in_order: bool = False) -> Iterator[tuple[int, R]]:
        """As `Workers.map`."""
        left, queue = enumerate(parts), deque[tuple[int, P]]()
        held, head, most = dict[int, R](), 0, AHEAD * len(self._workers)
        self._deaths.clear()
        try:
            while True:
                for depth in range(AHEAD):
                    for worker in self._workers:
                        queue.extend([] if queue else islice(left, 1))
                        may = queue and not (in_order and queue[0][0] >= head + most)
                        if may and worker.ready and len(worker.given) == depth:
                            place, part = queue.popleft()
                            worker.given.append((worker.actor.do.remote(work, part), place, part))
                if not queue and not any(worker.given for worker in self._workers if worker.ready):
                    return
                for place, result in self._finished(queue):
                    held[place] = result
                    while in_order and head in held:
                        yield head, held.pop(head)
                        head += 1
                    if not in_order:
                        yield place, held.pop(place)
        finally:  # nobody waits for these any more
            for worker in self._workers:
                worker.given = deque(given for given in worker.given if given[1] == _BEGIN)

    def _new(self) -> _Worker:
        options = {"num_cpus": self._cluster.cpus, "num_gpus": self._gpus, "max_restarts": 0, "max_task_retries": 0}
        worker = _Worker(self._ray.remote(_Actor).options(**options).remote())
        worker.given.append((worker.actor.begin.remote(self._make, self._about), _BEGIN, time.monotonic()))
        return worker

    def _finished(self, again: deque[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
        """What has just been done; parts of a lost worker go back into `again`."""
        references = [given[0] for worker in self._workers for given in worker.given]
        done, _ = self._ray.wait(references, timeout=BEAT)
        if not done:
            self._require_there()
        for reference in done:
            worker = next(one for one in self._workers if any(given[0] == reference for given in one.given))
            try:
                result = self._ray.get(reference)
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, Exception) else error from None
            except (self._ray.exceptions.OutOfDiskError, self._ray.exceptions.ObjectStoreFullError) as error:
                raise WorkerError(
                    f"a machine of the cluster has no room for results: {first_line(error)} Free some of its disk and "
                    "memory, and run the same command again."
                ) from error
            except self._ray.exceptions.RayError as error:
                self._replace(worker, again, error)
                return  # references of the lost worker are void
            given = next(given for given in worker.given if given[0] == reference)
            worker.given.remove(given)
            if given[1] == _BEGIN:
                self.require(result)
                worker.ready, self._deaths[_BEGIN] = True, 0
            else:
                yield given[1], result

    def _replace(self, worker: _Worker, again: deque[tuple[int, Any]], error: Exception) -> None:
        (_, place, _), lost = worker.given[0], [given[1:] for given in worker.given if given[1] != _BEGIN]
        self._deaths[place] += 1
        if self._deaths[place] >= DEATHS:
            what = f"part {place}" if place != _BEGIN else "the model of a worker"
            raise WorkerError(
                f"{what} has cost {DEATHS} workers: {first_line(error)} Expected it to fit into a worker; take "
                "smaller batches, more memory, or fewer workers on a machine."
            ) from error
        self._require_there()
        self._ray.kill(worker.actor)  # it may still be there, cut off
        again.extendleft(reversed(lost))
        self._workers[self._workers.index(worker)] = self._new()

    def require(self, said: Mapping[str, Any]) -> None:
        """Refuse workers that say anything else of themselves than what is said here.

        Raises:
            WorkerError: names every difference.
        """
        here = self._said or dict(said)
        names = [name for name in dict.fromkeys((*said, *here)) if said.get(name) != here.get(name)]
        if names:
            apart = "; ".join(f"{name}: {said.get(name)} and {here.get(name)}" for name in names)
            raise WorkerError(
                f"workers differ in {apart}. Expected every machine to have the same version of unsee and the same "
                "model, or results of both would be read as one: install and copy them alike."
            )
        self._said = here

    def _require_there(self) -> None:
        """That the cluster answers, and that no worker has been waiting for too long."""
        limit = time.monotonic() + GONE
        while (error := self._unreachable()) is not None:
            if time.monotonic() > limit:
                raise WorkerError(
                    f"the cluster at {self._host}:{self._port} has not answered for {GONE:.0f} s. What is finished is "
                    "kept; start the cluster again and run the same command."
                ) from error
            time.sleep(BEAT / 2)
        begun = [worker.given[0][2] for worker in self._workers if not worker.ready]
        if begun and time.monotonic() - min(begun) > START:
            raise WorkerError(
                f"a worker was not ready within {START:.0f} s. Look at 'ray status': machines may be lost. What is "
                "finished is kept; run the same command again, with fewer workers if need be."
            )

    def _unreachable(self) -> OSError | None:
        """Ray's own calls to a cluster that is gone never come back, so it is asked for by a plain connection first."""
        try:
            socket.create_connection((self._host, self._port), BEAT).close()
        except OSError as error:
            return error
        return None
