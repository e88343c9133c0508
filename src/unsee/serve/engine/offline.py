"""Answers by vLLM in this process: the rows that transformers gives, steered by the plugin of `unsee.serve`."""

import asyncio
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final
from uuid import uuid4

from unsee.data.sample import Sample
from unsee.erase.eraser import Eraser
from unsee.erase.eraser_set import together
from unsee.errors import OptionError, SteeringError
from unsee.evals.answerers import PLAIN, Draw, How, Local
from unsee.evals.likelihood import AnswerScores
from unsee.evals.prompting import asking
from unsee.models.generate import render
from unsee.models.load import LoadedModel
from unsee.serve.engine.carried import reports_of
from unsee.serve.engine.compat import INSTALL, installed, part, require_known
from unsee.serve.engine.fired import as_required
from unsee.serve.engine.plugin import engine_options, set_environment
from unsee.serve.engine.resident import require_served
from unsee.serve.engine.tracking import CACHE, NO_SET, SET, TICKET
from unsee.serve.errors import EngineError
from unsee.serve.parity.canary import Canary, fly, hatch
from unsee.serve.parity.comparison import ANSWER_TOKENS, Answer, Prompt, engine_answer
from unsee.serve.server.launch import CANARY
from unsee.serve.server.prepare import release

IN_FORCE = "evaluated"
"""Name of the set that holds the erasers of an evaluation; without any it is empty."""

_SEEDS = 1 << 31


def require_vllm() -> str:
    """The installed version of vLLM.

    Raises:
        EngineError: it is missing, or of a version that steering was not tried on.
    """
    if installed() is None:
        raise EngineError(
            f"the engine is 'vllm', but vLLM is not installed. Install it with: {INSTALL}, or leave --engine out to "
            "answer with transformers."
        )
    return require_known()


@final
class Vllm:
    """An answerer for `unsee.evals.evaluate`, with all erasers of the evaluation in force, or none.

    It has passed the canary of `unsee serve` with or without, and every batch is refused in which some prompt was not
    read, or not as many positions were steered as had to be.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        path: str,
        erasers: Mapping[str, Path],
        options: Mapping[str, Any],
        *,
        keep_model: bool,
    ) -> None:
        """Start the engine.

        Args:
            loaded: the model, for its tokenizer and its settings of generation, and to make the canary.
            path: folder or hub id of the same model.
            erasers: folders of those in force, by content id.
            options: further arguments of `vllm.LLM`.
            keep_model: leave `loaded` in memory, for measures of probability; otherwise it gives its place to the
                engine, and can only be rendered with.

        Raises:
            EngineError: vLLM is missing, untried, or does not start with these options.
            CanaryError: it does not steer as the library does.
            MismatchError: an eraser has a gate that an engine cannot hold.
            OptionError: an option is one that unsee sets itself.
        """
        version = require_vllm()
        set_environment()
        own = {"model", "dtype", "revision", *engine_options()}
        if taken := sorted(own & options.keys()):
            raise OptionError(f"the engine's options name {taken}, which unsee sets itself. Leave them out.")
        self.options, self.versions = dict(options), {"vllm": version}
        self._tokenizer, self._generation = loaded.processor.tokenizer, loaded.model.generation_config
        dtype = str(loaded.model.dtype).removeprefix("torch.")
        for content_id, folder in erasers.items():
            require_served(Eraser.from_pretrained(folder), content_id)
        canaries = hatch(loaded)
        if not keep_model:
            release(loaded)
        os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")  # standard output is for results
        given = {"dtype": dtype, "revision": loaded.revision, **engine_options(), **options}
        try:
            self._llm: Any = part("vllm:LLM")(path, **given)
        except (ValueError, TypeError) as error:
            raise EngineError(
                f"vLLM does not start with {dict(options)}: {error} Expected options of vllm.LLM that this machine has "
                "room for; change --engine-option."
            ) from error
        self._library, self._ids = loaded, tuple(erasers)
        self._erasers = together([Eraser.from_pretrained(folder) for folder in erasers.values()])
        for canary in canaries:
            self._prove(canary, exact=dtype == "float32")
        self._hold({content_id: str(folder) for content_id, folder in erasers.items()}, IN_FORCE)

    @property
    def about(self) -> Mapping[str, Any]:
        """Model, erasers, and how the engine was started."""
        held = Local(self._library, (), self._ids).about
        return {**held, "engine": "vllm", "engine_options": self.options, "engine_versions": self.versions}

    @property
    def loaded(self) -> LoadedModel | None:
        """The engine's workers hold the weights, so nobody here can reach them."""
        return None

    def order(self, samples: Sequence[Sample], how: How) -> list[int]:
        """As given: the engine makes its own batches."""
        del how
        return list(range(len(samples)))

    def scores(
        self, samples: Sequence[Sample], answers: Sequence[str], how: How, batch_size: int
    ) -> list[AnswerScores | None]:
        """By the model in this process, where it still is."""
        return Local(self._library, self._erasers, self._ids).scores(samples, answers, how, batch_size)

    def answers(self, samples: Sequence[Sample], how: How = PLAIN, begun: Sequence[str] = ()) -> list[str]:
        """One answer a prompt, in order; as for `unsee.evals.answerers.base.Answerer`.

        Raises:
            OptionError: an answer is to be begun.
            SteeringError: a prompt was not read, or its answer not steered as required.
            EngineError: a prompt is longer than the engine takes.
        """
        if any(begun):
            raise OptionError("the engine is 'vllm', which begins no answer. Leave --engine out for this attack.")
        asks = asking(self._library, how.style, verbatim=how.verbatim)
        prompts, draw = asks.prompts(samples), how.draw
        if any(one.video for one in prompts):
            raise EngineError(
                "the engine is 'vllm', which is not asked about videos. Leave --engine out for these questions."
            )
        texts = render(asks.loaded, prompts, asks.style)
        start = self._tokenizer.bos_token
        starts = start is not None and texts[0].startswith(start)
        tokens = self._tokenizer(texts, add_special_tokens=not starts)["input_ids"]
        images = [None if one.image is None else asks.loaded.adapter.readable(one.image) for one in prompts]
        asked = [_request(ids, image) for ids, image in zip(tokens, images, strict=True)]
        ticket = uuid4().hex
        extra = {SET: IN_FORCE, TICKET: ticket, CACHE: IN_FORCE}
        parameters = [
            part("vllm:SamplingParams")(max_tokens=how.max_new_tokens, extra_args=extra, **self._drawing(draw, place))
            for place in range(len(asked))
        ]
        try:
            outputs, _ = self._steered(ticket, asked, parameters)
        except ValueError as error:
            raise EngineError(
                f"vLLM refuses a prompt: {error} Expected prompts within its limits; raise them as in --engine-option "
                "max_model_len=4096."
            ) from error
        return [
            str(self._tokenizer.decode(list(output.outputs[0].token_ids), skip_special_tokens=True)).strip()
            for output in outputs
        ]

    def _drawing(self, draw: Draw | None, place: int) -> dict[str, Any]:
        """Arguments that mean to vLLM what `generate` of transformers does with the model's own settings."""
        own = self._generation
        same = {"repetition_penalty": own.repetition_penalty or 1.0}
        if draw is None:
            return same | {"temperature": 0.0}
        same["seed"] = (draw.seed + place) % _SEEDS
        if draw.temperature is not None:
            return same | {"temperature": draw.temperature}
        top_k = 50 if own.top_k is None else own.top_k
        return same | {"temperature": own.temperature or 1.0, "top_p": own.top_p or 1.0, "top_k": top_k}

    def _hold(self, folders: Mapping[str, str], name: str) -> None:
        held = self._llm.collective_rpc("unsee_load", args=(dict(folders), {name: list(folders)}, NO_SET))
        if any(ids != sorted(folders) for ids in held):
            raise EngineError(f"the engine holds {held}, expected {sorted(folders)} everywhere. Nothing is asked.")

    def _steered(
        self, ticket: str, asked: Sequence[Any], parameters: Sequence[Any]
    ) -> tuple[list[Any], list[Mapping[str, Any]]]:
        """Outputs, and the reports on them."""
        with reports_of(self._llm.llm_engine).opened(ticket) as told:
            outputs = self._llm.generate(asked, parameters, use_tqdm=False)
            reports = told.reports()
        wrong = [one for one in reports if not as_required(one)]
        if len(reports) != len(asked) or wrong:
            raise SteeringError(
                f"the engine reported on {len(reports)} of {len(asked)} prompts, {len(wrong)} of them not steered as "
                "required. Nothing of this batch is used. Its hooks are missing: report it."
            )
        return outputs, reports

    def _prove(self, canary: Canary, *, exact: bool) -> None:
        async def ask(prompt: Prompt, steered: bool) -> Answer:
            ticket = uuid4().hex
            extra = {SET: CANARY if steered else NO_SET, TICKET: ticket}
            limits = part("vllm:SamplingParams")(temperature=0, max_tokens=ANSWER_TOKENS, logprobs=0, extra_args=extra)
            (output,), (report,) = self._steered(ticket, [_request(prompt.tokens, prompt.image)], [limits])
            return engine_answer(self._tokenizer, output, report)

        with tempfile.TemporaryDirectory(prefix="unsee-canary-") as folder:
            self._hold({canary.eraser.save_pretrained(folder): folder}, CANARY)
            asyncio.run(fly(canary, ask, exact=exact))


def _request(tokens: Sequence[int], image: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"prompt_token_ids": list(tokens)}
    return asked if image is None else asked | {"multi_modal_data": {"image": image}}
