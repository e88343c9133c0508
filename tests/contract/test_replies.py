"""Fixed tokens of a reply are said by the rows whose gate fires, in every way of calling, or the call fails."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LogitsProcessorList, TextIteratorStreamer

from tiny_families import FAMILIES, FIRED, always, encode, held_eraser, logits, published_eraser, samples
from unsee.erase.eraser import Eraser
from unsee.erase.replies.base import Reply, reply_of
from unsee.erase.replies.canned import CannedReply
from unsee.erase.replies.prefix import PrefixReply
from unsee.erase.replies.steer import SteerReply, decayed
from unsee.erase.steer.hooks import erased
from unsee.errors import ArtifactError, SteeringError
from unsee.models.load import LoadedModel

NEW = 7


@pytest.fixture(scope="module", params=["llama", "llava"])
def loaded(request: pytest.FixtureRequest) -> LoadedModel:
    return FAMILIES[request.param](0)


@pytest.fixture(scope="module", params=[PrefixReply, CannedReply], ids=["prefix", "canned"])
def reply(request: pytest.FixtureRequest, loaded: LoadedModel) -> Any:
    return request.param.with_words(loaded, "No.")


@pytest.fixture(scope="module")
def eraser(loaded: LoadedModel, reply: Reply) -> Eraser:
    return held_eraser(loaded).with_reply(reply)


def said(loaded: LoadedModel, inputs: Any, **options: Any) -> Tensor:
    chosen = {"do_sample": False, "max_new_tokens": NEW, "pad_token_id": 3} | options
    with torch.no_grad():
        return loaded.model.generate(**inputs, **chosen)[:, inputs["input_ids"].shape[1] :]


def begins(loaded: LoadedModel, tokens: Tensor, reply: Any) -> bool:
    words = loaded.processor.tokenizer("No.", add_special_tokens=False)["input_ids"]
    end = [2] if isinstance(reply, CannedReply) else []
    return tokens.tolist()[: len(words) + len(end)] == words + end


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_cache": False},
        {"num_beams": 3},
        {"num_beams": 4, "num_return_sequences": 2},
        {"do_sample": True, "temperature": 3.0, "top_k": 0, "num_return_sequences": 2},
    ],
    ids=str,
)
def test_rows_that_fire_say_it_and_others_are_as_ever(
    loaded: LoadedModel, eraser: Eraser, reply: Reply, options: dict[str, Any]
) -> None:
    inputs, times = encode(loaded, samples(loaded)), options.get("num_return_sequences", 1)
    torch.manual_seed(0)
    base = said(loaded, inputs, **options)
    torch.manual_seed(0)
    with erased(loaded, eraser) as steering:
        tokens = said(loaded, inputs, **options)
    assert steering.positions == 0 and steering.forced >= sum(FIRED) * times * 2
    for row, fires in enumerate(fires for fires in FIRED for _ in range(times)):
        assert begins(loaded, tokens[row], reply) == fires
        if not fires and not options.get("do_sample"):
            width = min(tokens.shape[1], base.shape[1])
            assert torch.equal(tokens[row, :width], base[row, :width])
        if fires and isinstance(reply, CannedReply):
            text = loaded.processor.tokenizer.decode(tokens[row], skip_special_tokens=True)
            assert text == "No."
    assert torch.equal(said(loaded, encode(loaded, samples(loaded))), said(loaded, inputs))


def test_plain_calls_by_step(loaded: LoadedModel, eraser: Eraser, reply: Any) -> None:
    inputs = encode(loaded, samples(loaded))
    prompt, answers = inputs["input_ids"].shape[1], torch.full((5, 4), 9)
    full = {
        name: torch.cat([value, {"attention_mask": torch.ones_like(answers)}.get(name, answers).to(value)], dim=1)
        for name, value in inputs.items()
        if name in ("input_ids", "attention_mask")
    } | {name: value for name, value in inputs.items() if name == "pixel_values"}
    ends = inputs["attention_mask"].sum(1).tolist()
    base = logits(loaded, full)
    with erased(loaded, eraser, prompt_tokens=ends):
        got, last = logits(loaded, full), logits(loaded, full, logits_to_keep=2)
        with pytest.raises(SteeringError, match="the loss of labels"):
            loaded.model(**full, labels=full["input_ids"])
    torch.testing.assert_close(last, got[:, -2:], rtol=1e-4, atol=1e-4)
    for row, fires in enumerate(FIRED):
        if not fires:
            assert torch.equal(got[row], base[row])
            continue
        assert torch.equal(got[row, : prompt - 1], base[row, : prompt - 1])
        for step in range(5):
            here = got[row, prompt - 1 + step]
            forced = step < len(reply.tokens) or isinstance(reply, CannedReply)
            expected = reply.tokens[min(step, len(reply.tokens) - 1)]
            assert (int(here.isfinite().sum()) == 1 and float(here[expected]) == 0.0) == forced
            assert forced or torch.equal(here, base[row, prompt - 1 + step])


def test_a_decoder_alone_cannot_say_it(loaded: LoadedModel, eraser: Eraser) -> None:
    inputs = encode(loaded, [samples(loaded)[index] for index in (1, 3)])
    embeds = loaded.model.get_input_embeddings()(inputs["input_ids"]).detach()
    alone = {"inputs_embeds": embeds, "attention_mask": inputs["attention_mask"]}
    decoder = loaded.adapter.text_model(loaded.model)
    gate = always(held_eraser(loaded)).gate
    with erased(loaded, replace(eraser, gate=gate)):
        with pytest.raises(SteeringError, match="decoder was called alone"):
            decoder(**alone)
        loaded.model(**alone)


def test_a_stream(loaded: LoadedModel, eraser: Eraser, reply: Reply) -> None:
    streamer = TextIteratorStreamer(loaded.processor.tokenizer, skip_prompt=True, skip_special_tokens=True)
    with erased(loaded, eraser):
        said(loaded, encode(loaded, samples(loaded)[:1]), streamer=streamer)
    text = "".join(streamer)
    assert text == "No." if isinstance(reply, CannedReply) else text.startswith("No.") and len(text) > 3


def test_whoever_overrules_the_reply_gets_no_answer(loaded: LoadedModel, eraser: Eraser) -> None:
    inputs = encode(loaded, samples(loaded))

    def overrule(_: Tensor, scores: Tensor) -> Tensor:
        return torch.zeros_like(scores)

    with erased(loaded, eraser), pytest.raises(SteeringError, match="Something else decides about tokens"):
        said(loaded, inputs, logits_processor=LogitsProcessorList([overrule]))  # pyright: ignore[reportArgumentType]


def test_the_gate_furthest_above_its_threshold_has_the_word(loaded: LoadedModel, eraser: Eraser) -> None:
    other = always(held_eraser(loaded)).with_reply(PrefixReply.with_words(loaded, "Yes"))
    inputs = encode(loaded, samples(loaded))
    with erased(loaded, eraser, other):
        tokens = said(loaded, inputs)
    with erased(loaded, eraser), erased(loaded, other):
        assert torch.equal(said(loaded, inputs), tokens)
    yes = loaded.processor.tokenizer("Yes", add_special_tokens=False)["input_ids"]
    assert all(row.tolist()[:3] == yes for row in tokens)


def test_a_prefix_may_be_followed_by_steered_text(loaded: LoadedModel) -> None:
    eraser = always(held_eraser(loaded))
    inputs = encode(loaded, samples(loaded)[:2])
    both = eraser.with_reply(PrefixReply.with_words(loaded, "No.", steers=True))
    with erased(loaded, both) as steering:
        tokens = said(loaded, inputs)
    assert all(begins(loaded, row, None) for row in tokens) and steering.positions > 0 and steering.forced == 2 * 3


def test_replies_are_kept_in_artifacts(loaded: LoadedModel, eraser: Eraser, reply: Any, tmp_path: Path) -> None:
    eraser = _whole(loaded, eraser)
    eraser.save_pretrained(tmp_path / "e")
    assert Eraser.from_pretrained(tmp_path / "e").reply == reply
    for broken in ({"kind": "song"}, None, reply.as_json() | {"tokens": []}, reply.as_json() | {"tokens": [1.5]}):
        with pytest.raises(ArtifactError):
            reply_of(broken)
    with pytest.raises(ArtifactError, match="decides nothing"):
        published_eraser(loaded).with_reply(reply)


def _whole(loaded: LoadedModel, eraser: Eraser) -> Eraser:
    return replace(
        eraser,
        model={"id": "tiny", "revision": None, "digest": loaded.digest},
        subjects=("a", "b"),
        counts={"forget": 1},
    )


def test_later_steps_decay() -> None:
    trajectory = torch.randn(2, 4, 3)
    assert torch.equal(decayed(trajectory, 0.0)[:, 1:], torch.zeros(2, 1, 3))
    assert torch.equal(decayed(trajectory, 0.25)[:, 1:], 0.25 * trajectory[:, 1:])
    for decay in (0.0, 0.25):
        assert torch.equal(decayed(trajectory, decay)[:, 0], trajectory[:, 0])
    assert SteerReply().steers


@pytest.mark.parametrize("first", ["steer", "canned"])
def test_a_fresh_process_reads_every_kind_of_reply(first: str) -> None:
    """As a worker of an engine does, which has imported nothing but the eraser's own module; none brings another in."""
    words = {"text": "no", "tokens": [1]}
    kinds = sorted(["steer", "prefix", "canned"], key=lambda kind: kind != first)
    told = [{"kind": kind} | ({} if kind == "steer" else words) for kind in kinds]
    asked = f"from unsee.erase.eraser import reply_of; print(*(reply_of(one).kind for one in {told!r}))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.split() == kinds
