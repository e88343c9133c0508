"""The steerer between the blocks of real models: told what a scheduler would say, it answers as the library does.

Every family that is served, by its own prompts, images and positions; vLLM is not needed, and its engines are asked the
same in test_served_families.py.
"""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace as Told
from typing import Any

import pytest
import torch
from tests.serve.conversations import TOKENS, asked, erasers, library
from transformers import LogitsProcessor

from tiny_llava import tiny_llava
from tiny_qwen import tiny_qwen2_5_vl, tiny_qwen3_vl
from unsee.erase.replies.canned import CannedReply
from unsee.models.generate import Conversation, encode_conversations
from unsee.models.load import LoadedModel
from unsee.serve.engine.fired import as_required
from unsee.serve.engine.steerer import Shape, Steerer
from unsee.serve.engine.tracking import NO_SET, SET
from unsee.serve.parity.canary import hatch
from unsee.shapes import Tensor

BLOCK = 16
NAMES = ("s", "p", "b", "c", "spbc")
MODELS = {"llava": tiny_llava, "qwen2_5_vl": tiny_qwen2_5_vl, "qwen3_vl": tiny_qwen3_vl}


@pytest.fixture(scope="module", params=MODELS)
def loaded(request: pytest.FixtureRequest) -> LoadedModel:
    return MODELS[request.param]()


class Chooser(LogitsProcessor):
    """Where a sampler would be: the last that sees the logits."""

    def __init__(self, steerer: Steerer) -> None:
        self.steerer = steerer

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # pyright: ignore
        self.steerer.fix(scores)
        self.report = next(iter(self.steerer.said(scores.argmax(1, keepdim=True)).reports().values()))
        return scores


class Pretended:
    """One request at a time, its blocks never where those of the one before were."""

    def __init__(self, loaded: LoadedModel, prompt: Conversation, steerer: Steerer, name: str, start: int) -> None:
        self.loaded, self.steerer, self.computed, self.chooser = loaded, steerer, 0, Chooser(steerer)
        self.inputs = encode_conversations(loaded, [prompt])
        ids = self.inputs["input_ids"][0].tolist()
        index = loaded.adapter.image_index(loaded.model, self.inputs["input_ids"])[0].tolist()
        places = [[t for t, image in enumerate(index) if image == j + 1] for j in range(max(index))]
        features = [Told(mm_position=Told(offset=own[0], length=len(own), is_embed=None)) for own in places]
        blocks = list(range(start, start + (len(ids) + TOKENS) // BLOCK + 1))
        self.new = Told(
            req_id=prompt.id, prompt_token_ids=ids, mm_features=features, block_ids=(blocks,), num_computed_tokens=0,
            sampling_params=Told(extra_args={SET: name}),
        )  # fmt: skip

    def answer(self, chunk: int | None) -> list[int]:
        adapter, model = self.loaded.adapter, self.loaded.model
        decoder = adapter.text_model(model)
        handles = [
            decoder.register_forward_pre_hook(self._begin, with_kwargs=True),
            decoder.register_forward_hook(lambda *_: self.steerer.end()),
            *(
                block.register_forward_pre_hook(self._visit(layer), with_kwargs=True)
                for layer, block in enumerate(adapter.layers(model))
            ),
        ]
        options: Any = {} if chunk is None else {"prefill_chunk_size": chunk}
        call: Any = model
        try:
            with torch.no_grad():
                said = call.generate(
                    **self.inputs, do_sample=False, max_new_tokens=TOKENS, logits_processor=[self.chooser],
                    pad_token_id=self.loaded.processor.tokenizer.pad_token_id, **options,
                )  # fmt: skip
        finally:
            for handle in handles:
                handle.remove()
        return said[0, self.inputs["input_ids"].shape[1] :].tolist()

    def _begin(self, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        tokens = next(x for x in (kwargs.get("inputs_embeds"), kwargs.get("input_ids"), *args) if x is not None)
        name, count, first = self.new.req_id, tokens.shape[1], self.computed == 0
        running = Told(
            req_ids=[] if first else [name], new_block_ids=[None], num_computed_tokens=[self.computed],
            resumed_req_ids=set(),
        )  # fmt: skip
        self.steerer.hear(
            Told(scheduled_new_reqs=[self.new] if first else [], scheduled_cached_reqs=running, finished_req_ids=set())
        )
        self.steerer.begin([name], {name: count})
        self.computed += count

    def _visit(self, layer: int) -> Any:
        def hook(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            states = (args[0] if args else kwargs["hidden_states"]).clone()
            residual = torch.randn_like(states[0])
            hidden = states[0] - residual
            self.steerer.visit(layer, hidden, residual)
            states[0] = hidden + residual
            return ((states, *args[1:]), kwargs) if args else ((), {**kwargs, "hidden_states": states})

        return hook


def made(loaded: LoadedModel) -> Steerer:
    depth, width = len(loaded.adapter.layers(loaded.model)), loaded.adapter.hidden_size(loaded.model)
    shape = Shape(loaded.adapter.family, depth, width, loaded.model.config.get_text_config().vocab_size, 4096, BLOCK)
    return Steerer(shape, torch.device("cpu"))


def cases() -> Iterator[tuple[Conversation, str, int | None]]:
    for number, prompt in enumerate(asked()[:7]):
        for turn in (0, 1, 2):
            yield prompt, NAMES[(3 * number + turn) % len(NAMES)], 5 if turn == 1 and not prompt.images else None


def test_answers_are_the_library_s_under_every_gate_and_reply(loaded: LoadedModel, tmp_path: Path) -> None:
    held, steerer = erasers(loaded, asked()), made(loaded)
    steerer.load(held, {name: list(name) for name in NAMES}, NO_SET)
    replies = set[str | None]()
    for start, (prompt, name, chunk) in enumerate(cases()):
        expected, _, margin = library(loaded, prompt, [held[letter] for letter in name])
        asked_engine = Pretended(loaded, prompt, steerer, name, 30 * start)
        said = asked_engine.answer(chunk)
        tracked = steerer.requests.live.pop(prompt.id)
        steerer.requests._free.append(tracked.slot)
        report = asked_engine.chooser.report
        assert as_required(report), report
        assert report["highest"] == pytest.approx(margin, abs=2e-4), (prompt.id, name, chunk)
        assert said == expected, (prompt.id, name, chunk)
        replies.add(report["reply"])
    assert replies == {None, "steer", "prefix", "canned"}


def test_every_canary_does_in_the_library_what_it_must_show(loaded: LoadedModel) -> None:
    canaries, steerer = hatch(loaded, (1, 2)), made(loaded)
    assert [(c.eraser.gate.kind, c.eraser.reply.kind) for c in canaries] == [
        ("prompt-ridge", "steer"), ("subject", "prefix"), ("subject", "canned"),
    ]  # fmt: skip
    for canary in canaries:
        assert [one.margin is not None and one.margin >= 0 for one in canary.steered] == [True, False]
        steerer.load({"c": canary.eraser}, {"c": ["c"]}, NO_SET)
    assert isinstance(canaries[2].eraser.reply, CannedReply)
