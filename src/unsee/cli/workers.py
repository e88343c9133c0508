"""Where a command's work runs: in this process, or in workers of Ray."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unsee.cli.options import Parts, open_model, taking
from unsee.workers.cluster import Cluster
from unsee.workers.ray import on_ray

if TYPE_CHECKING:
    from unsee.cli.evaluate.who import Who
    from unsee.evals.held import Condition, Held
    from unsee.evals.plan import Plan
    from unsee.evals.scoring import Judges
    from unsee.models.load import LoadedModel
    from unsee.progress import Stages
    from unsee.workers import Workers

_RAY = "With --engine ray"
_Number = Annotated[int, typer.Option(help="How many, each with the model.", rich_help_panel=_RAY)]
_Address = Annotated[
    str | None, typer.Option(help="HOST:PORT of a cluster; default: this machine.", rich_help_panel=_RAY)
]
_Cpus = Annotated[int, typer.Option("--worker-cpus", help="Cores and threads of a worker.", rich_help_panel=_RAY)]
_Gpus = Annotated[
    float | None,
    typer.Option("--worker-gpus", help="GPUs of a worker; default: one where there is any.", rich_help_panel=_RAY),
]
takes_cluster = taking(
    "cluster",
    Cluster,
    {"workers": (_Number, 2), "address": (_Address, None), "cpus": (_Cpus, 1), "gpus": (_Gpus, None)},
)
"""Gives a command `--workers`, `--address`, `--worker-cpus` and `--worker-gpus`; it receives them as `cluster`."""


def model_facts(loaded: "LoadedModel") -> Mapping[str, Any]:
    """What decides the states of a model: code, weights, precision."""
    from unsee.evals.code import code_version

    precision = str(loaded.model.dtype).removeprefix("torch.")
    return {"code": code_version(), "model digest": loaded.digest, "precision": precision}


@contextmanager
def readers(model: str, parts: Parts, cluster: Cluster | None) -> Iterator["tuple[LoadedModel, Workers[LoadedModel]]"]:
    """The model, here and in workers of a cluster; None for this process alone.

    Raises:
        MissingExtraError, OptionError, WorkerError, MismatchError: as for `on_ray`, before the model is loaded here.
        ModelError: the model cannot be loaded.
    """
    from unsee.workers import Here

    make: Callable[[], LoadedModel] = partial(open_model, model, parts)
    if cluster is None:
        loaded = make()
        yield loaded, Here(loaded)
        return
    with on_ray(make, model_facts, cluster) as workers:
        loaded = make()
        workers.require(model_facts(loaded))
        yield loaded, workers


@contextmanager
def askers(
    whos: "Sequence[Who]", plan: "Plan", judges: "Judges", cluster: Cluster | None, stages: "Stages"
) -> "Iterator[tuple[list[Condition], Workers[Held] | None]]":
    """Conditions, and the workers of a cluster that hold them; None and no workers for this process alone.

    Raises:
        MissingExtraError, OptionError, WorkerError: as for `on_ray`.
        ModelError: a model cannot be loaded.
    """
    from unsee.evals.held import Condition, Held, settings_of

    if cluster is None:
        yield [who.condition(plan, stages) for who in whos], None
        return

    def elsewhere() -> Any:
        raise AssertionError("what workers hold is asked there")

    with on_ray(partial(_held, tuple(whos), plan, judges), Held.about, cluster) as workers:
        yield [Condition(name, settings, elsewhere) for name, settings in settings_of(workers)], workers


def _held(whos: "Sequence[Who]", plan: "Plan", judges: "Judges") -> "Held":
    from unsee.evals.held import Held
    from unsee.progress import silent

    return Held([who.condition(plan, silent) for who in whos], plan, judges)
