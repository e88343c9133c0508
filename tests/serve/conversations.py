"""Conversations under random subject gates, one for each reply, in the library and in a running engine."""

import random
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tests.tiny_llava import noise_image

from unsee.data.prompts import Message
from unsee.erase.eraser import Eraser
from unsee.erase.fit.tokens import capture_tokens, capture_turns
from unsee.erase.gates.scope import Scope
from unsee.erase.gates.subject import SubjectGate
from unsee.erase.profile import identity
from unsee.erase.replies.base import Reply
from unsee.erase.replies.canned import CannedReply
from unsee.erase.replies.prefix import PrefixReply
from unsee.erase.replies.steer import SteerReply
from unsee.erase.steer.hooks import erased
from unsee.models.generate import Conversation, encode_conversations
from unsee.models.load import LoadedModel
from unsee.models.turns import TurnTokens
from unsee.serve.engine.carried import reports_of
from unsee.serve.engine.compat import part
from unsee.serve.engine.fired import as_required
from unsee.serve.engine.tracking import CACHE, NO_SET, SET, TICKET

READ, TOKENS = (1, 2), 12


def asked() -> list[Conversation]:
    """Of one turn and of three, with no image, one, two in a row, and one in an earlier turn."""
    said, then = turn("assistant", text("yes it is")), turn("user", text("and where does she live now"))
    shown = turn("user", {"type": "image"}, text("who is this"))
    two = turn("user", {"type": "image"}, {"type": "image"}, text("who are they"))
    found = [
        Conversation("name", [turn("user", text("where does ann live"))]),
        Conversation("turns", [turn("user", text("do you know ann")), said, then]),
        Conversation("shown", [shown], [noise_image(1)]),
        Conversation("another", [shown], [noise_image(2)]),
        Conversation("two", [two], [noise_image(1), noise_image(3)]),
        Conversation("before", [two, said, then], [noise_image(3), noise_image(1)]),
        Conversation("long", [turn("user", text("one two three " * 12)), said, shown], [noise_image(2)]),
    ]
    return found + [replace(one, id=f"{one.id} again") for one in found[:3]]


def erasers(loaded: LoadedModel, prompts: Sequence[Conversation]) -> dict[str, Eraser]:
    """By letter; each fires on some of the prompts, whatever the model's states are like."""
    replies: dict[str, Reply] = {
        "s": SteerReply(),
        "p": PrefixReply.with_words(loaded, "i do not know"),
        "b": PrefixReply.with_words(loaded, "no idea", steers=True),
        "c": CannedReply.with_words(loaded, "nobody knows"),
    }
    return {name: random_eraser(loaded, prompts, number, reply) for number, (name, reply) in enumerate(replies.items())}


def random_eraser(loaded: LoadedModel, prompts: Sequence[Conversation], seed: int, reply: Reply) -> Eraser:
    """Two random subjects: half of the prompts are above the limit of each, and half of the turns in scope."""
    draw = torch.Generator().manual_seed(seed)
    states, turns = capture_tokens(loaded, prompts, READ, 4), capture_turns(loaded, prompts, READ, 4)
    width = states.text.shape[-1]
    weight = torch.randn(2, 2, len(READ), width, generator=draw)
    named = torch.einsum("trd,krd->tk", states.text, weight[:, 0])
    largest = torch.stack([named[states.prompt == i].amax(0) for i in range(len(prompts))])
    shown = torch.einsum("mrd,krd->mk", states.images, weight[:, 1])
    scope = Scope(
        torch.randn(1, 4, len(READ), width, generator=draw), torch.randn(1, 4, generator=draw), torch.zeros(1, 4)
    )
    scope.bias[0] = 0.3 - scope.margins(turns)[:, 0].median(0).values
    bias = -torch.stack([largest.quantile(0.6, 0), shown.quantile(0.6, 0)], dim=1) - 1e-3
    of = torch.zeros(2, dtype=torch.int64)
    gate = SubjectGate(READ, weight, bias, torch.zeros(2, 2), scope, of, TurnTokens.of(loaded))
    depth = len(loaded.adapter.layers(loaded.model))
    trajectory = torch.randn(depth - READ[-1], 3, width, generator=draw).half()
    layers = tuple(range(READ[-1], depth))
    return Eraser(identity(loaded), loaded.adapter.family, layers, gate, trajectory, 2.0, "subject", reply=reply)


def library(loaded: LoadedModel, prompt: Conversation, held: Sequence[Eraser]) -> tuple[list[int], list[float], float]:
    """Greedy tokens, their log-probabilities, and the largest margin."""
    inputs, model = encode_conversations(loaded, [prompt]), loaded.model
    assert isinstance(model, torch.nn.Module)
    call: Any = model
    with torch.no_grad(), erased(loaded, *held) as steering:
        made = call.generate(
            **inputs, do_sample=False, max_new_tokens=TOKENS, output_logits=True, return_dict_in_generate=True,
            pad_token_id=loaded.processor.tokenizer.pad_token_id,
        )  # fmt: skip
    said: list[int] = made.sequences[0, inputs["input_ids"].shape[1] :].tolist()
    logprobs = [float(made.logits[i][0].float().log_softmax(-1)[token]) for i, token in enumerate(said)]
    return said, logprobs, max(float(one.margins.max()) for one in steering.readings if one is not None)


def conversations(loaded: LoadedModel, llm: Any, folder: Path) -> list[dict[str, Any]]:
    """All prompts under several sets mixed in one batch, twice; what differs between library and engine."""
    prompts, names = asked(), ("s", "p", "spbc", "cb")
    held = erasers(loaded, prompts)
    ids = {name: eraser.save_pretrained(folder / name) for name, eraser in held.items()}
    held = {name: Eraser.from_pretrained(folder / name) for name in held}
    folders = {content_id: str(folder / name) for name, content_id in ids.items()}
    sets = {name: [ids[letter] for letter in name] for name in names}
    llm.collective_rpc("unsee_load", args=(folders, sets, NO_SET))
    cases = [(prompt, name) for prompt in prompts for name in names]
    random.Random(0).shuffle(cases)
    expected = [library(loaded, prompt, [held[letter] for letter in name]) for prompt, name in cases]
    found = []
    for turn_number in range(2):
        parameters = [
            part("vllm:SamplingParams")(
                temperature=0, max_tokens=TOKENS, logprobs=0,
                extra_args={SET: name, TICKET: f"{turn_number} {i}", CACHE: name},
            )
            for i, (_, name) in enumerate(cases)
        ]  # fmt: skip
        with ExitStack() as stack:
            opened = [reports_of(llm.llm_engine).opened(f"{turn_number} {i}") for i in range(len(cases))]
            told = [stack.enter_context(one) for one in opened]
            outputs = llm.generate([_request(loaded, prompt) for prompt, _ in cases], parameters, use_tqdm=False)
        for i, ((prompt, name), output) in enumerate(zip(cases, outputs, strict=True)):
            (report,) = told[i].reports()
            assert as_required(report), report
            (said, logprobs, margin), answer = expected[i], output.outputs[0]
            tokens = list(answer.token_ids)
            own = [entry[token].logprob for entry, token in zip(answer.logprobs, tokens, strict=True)]
            found.append(
                {
                    "case": f"{turn_number} {prompt.id} under {name}",
                    "same_tokens": tokens == said,
                    "said": [tokens, said],
                    "logprob": max(abs(a - b) for a, b in zip(own, logprobs, strict=False)),
                    "margin": abs(report["highest"] - margin),
                    "reply": report["reply"],
                    "cached": output.num_cached_tokens or 0,
                }
            )
    return found


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def turn(role: Any, *parts: Any) -> Message:
    return Message(role=role, content=list(parts))


def _request(loaded: LoadedModel, prompt: Conversation) -> dict[str, Any]:
    """As the engine expects it: one token for each image, which it expands itself."""
    inputs = encode_conversations(loaded, [prompt])
    index = loaded.adapter.image_index(loaded.model, inputs["input_ids"])[0].tolist()
    ids = inputs["input_ids"][0].tolist()
    tokens = [token for i, token in enumerate(ids) if not index[i] or not i or index[i] != index[i - 1]]
    images = [image.load() for image in prompt.images]
    return {"prompt_token_ids": tokens} | ({"multi_modal_data": {"image": images}} if images else {})
