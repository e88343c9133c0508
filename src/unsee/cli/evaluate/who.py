"""From options to what answers: a model, with erasers or a method, in this process, in vLLM or behind an address."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from unsee.cli.evaluate.what import legal
from unsee.cli.options import Parts, erasers_of, open_model, parsed
from unsee.errors import OptionError

if TYPE_CHECKING:
    from unsee.evals.answerers import Answerer
    from unsee.evals.evaluate import Condition
    from unsee.evals.plan import Plan
    from unsee.methods.task import FitData
    from unsee.models.load import LoadedModel
    from unsee.progress import Stages

ENGINES = ("transformers", "vllm", "ray", "ray-vllm")


@final
@dataclass(frozen=True)
class Who:
    """What the command line asks of.

    Attributes:
        model: name of the model; of an endpoint's where there is one.
        parts: of a model without adapter.
        erasers: files or folders.
        method: name of another way to forget, fitted on the task's own sets for fits.
        method_options: settings of the method.
        value: of its knob.
        profile: folder, for methods that steer.
        fit: data to forget and data to keep, in place of the task's sets.
        engine: one of `ENGINES`.
        engine_options: for vllm.LLM.
        endpoint: OpenAI-compatible address, in place of a model here.
        key: for the endpoint.
        name: of the row; None for the default.
        out: results folder, where a trained method keeps its checkpoints.
        seed: of the fit.
        dtype: precision of the weights.
    """

    model: str
    parts: Parts
    out: Path
    erasers: Sequence[Path] = ()
    method: str | None = None
    method_options: Mapping[str, Any] = field(default_factory=dict)
    value: float | None = None
    profile: Path | None = None
    fit: tuple[str | None, str | None] = (None, None)
    engine: str = "transformers"
    engine_options: Sequence[str] = ()
    endpoint: str | None = None
    key: str = field(default="", repr=False)
    name: str | None = None
    seed: int = 0
    dtype: str = "auto"

    def check(self) -> None:
        """Refuse what cannot be, before a model is loaded.

        Raises:
            OptionError: no such engine or method, or options that do not go together.
        """
        legal("engine", self.engine, ENGINES)
        if self.method is not None:
            from unsee.registry import METHODS

            METHODS.named(self.method)
        if self.method is not None and self.erasers:
            raise OptionError("--method fits its own, so it takes no --eraser. Leave one of them out.")
        if self.engine_options and "vllm" not in self.engine:
            raise OptionError("--engine-option is for vLLM. Add --engine vllm or ray-vllm, or leave it out.")
        alone = {"--eraser": self.erasers, "--method": self.method, "--engine": self.engine != "transformers"}
        if self.endpoint is not None and (given := [name for name, value in alone.items() if value]):
            raise OptionError(f"--endpoint asks what runs there, so it takes no {given[0]}. Leave one of them out.")
        if self.engine != "transformers":
            self._check_engine()
        if self.out.exists() and not self.out.is_dir():
            raise OptionError(
                f"--out is {str(self.out)!r}, which is a file. Expected a folder, new or of the same run."
            )

    def _check_engine(self) -> None:
        if self.method is not None:
            raise OptionError(
                "--method is fitted and asked in this process. Leave --engine out; or fit it first, with 'unsee train' "
                "or 'unsee erase', and ask what that has made."
            )
        if self.engine == "vllm":  # workers of Ray look for themselves: it need not be installed here
            from unsee.serve.engine.offline import require_vllm

            require_vllm()
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise OptionError(
                f"several processes were launched with --engine {self.engine}, which shares work by itself. Start one "
                "process, as with --engine-option tensor_parallel_size=2 or --workers 2."
            )

    def condition(self, plan: "Plan", stages: "Stages") -> "Condition":
        """Load the model and say what answers."""
        from unsee.evals.evaluate import Condition

        called = self.name or self.method or ("erased" if self.erasers else "base")
        if self.endpoint is not None:
            from unsee.evals.answerers.endpoint import Endpoint
            from unsee.evals.chat import Chat

            return Condition.of(called, Endpoint(Chat(self.endpoint, self.model, self.key)))
        if self.method is not None:
            return self._fitted(called, plan, stages)
        answerer, seen = self._model(plan)
        return Condition.of(called, answerer, seen)

    def _model(self, plan: "Plan") -> "tuple[Answerer, frozenset[str]]":
        from unsee.erase.artifact import read_config
        from unsee.evals.answerers import Local

        ids = [read_config(path, "eraser").content_id for path in self.erasers]
        loaded = open_model(self.model, self.parts, self.dtype)
        erasers = erasers_of(self.erasers, loaded)
        seen = frozenset(digest for one in erasers for digest in one.fitted_on)
        if "vllm" in self.engine:
            return self._vllm(loaded, dict(zip(ids, self.erasers, strict=True)), plan), seen
        return Local(loaded, erasers, ids), seen

    def _vllm(self, loaded: "LoadedModel", erasers: Mapping[str, Path], plan: "Plan") -> "Answerer":
        from unsee.evals.choices import takes_probabilities
        from unsee.models.names import located
        from unsee.serve.engine.offline import Vllm

        options = parsed("--engine-option", self.engine_options)
        return Vllm(loaded, located(self.model), erasers, options, keep_model=takes_probabilities(plan.measures))

    def _fitted(self, called: str, plan: "Plan", stages: "Stages") -> "Condition":
        from unsee.methods.task import Request, condition

        assert self.method is not None
        data, options = self._data(plan), self.method_options
        loaded = open_model(self.model, self.parts, self.dtype)
        request = Request(loaded, data, self.out / "fit", self.value, self.seed, options=options, stages=stages)
        return condition(self.method, request, called)

    def _data(self, plan: "Plan") -> "FitData":
        from unsee.data import read
        from unsee.data.benchmarks import benchmark_task
        from unsee.erase.profile import Profile
        from unsee.erase.request.defaults import split_people
        from unsee.methods.task import FitData

        profile = None if self.profile is None else Profile.from_pretrained(self.profile)
        forget, retain = self.fit
        if (forget is None) != (retain is None):
            raise OptionError("--fit-forget and --fit-retain go together. Give both, or neither.")
        if forget is not None and retain is not None:
            kept, held = split_people(read(retain), self.seed)
            return FitData(read(forget), kept, held, profile=profile)
        task = plan.task
        if plan.benchmark is not None:  # the whole of it, whatever --set and --limit ask
            task = benchmark_task(plan.benchmark, plan.source, task.protocol, plan.ratio, plan.seed)
        return FitData.of(task, profile)
