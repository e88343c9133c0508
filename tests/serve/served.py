"""What the tests of the server share: questions, erasers that fire on some of them, a ledger that holds these."""

import base64
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from benchmarks.ledger_worker import BY, made, received, verified

from unsee.data.prompts import instruction
from unsee.data.sample import Sample
from unsee.erase.eraser import Eraser
from unsee.erase.fit.activations import capture_features
from unsee.erase.fit.tokens import capture_tokens
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.gates.scope import Scope
from unsee.erase.gates.subject import SubjectGate
from unsee.erase.profile import identity
from unsee.erase.replies.base import Reply
from unsee.erase.replies.canned import CannedReply
from unsee.erase.replies.prefix import PrefixReply
from unsee.ledger import Ledger
from unsee.ledger.erasers import eraser_check
from unsee.ledger.holding import attach
from unsee.models.generate import conversation_of
from unsee.models.load import LoadedModel
from unsee.models.turns import TurnTokens
from unsee.world.generate import World
from unsee.world.splits import Exam

READ = (2, 3, 4, 5)


def questions(people: int = 6, each: int = 4) -> dict[str, list[Sample]]:
    """Questions of the built-in world by person, half of them with an image."""
    exam = Exam(World(), 0)
    found: dict[str, list[Sample]] = {}
    for person in exam.forget[:people]:
        asked = exam.facts([person], taught=False, forms=3)
        shown, plain = [s for s in asked if s.image], [s for s in asked if not s.image]
        found[asked[0].subject] = [*shown[: each // 2], *plain[: each - each // 2]]
    return found


def eraser_for(
    loaded: LoadedModel, yes: Sequence[Sample], no: Sequence[Sample], seed: int, strength: float = 3.0
) -> Eraser:
    """Fires on `yes` and not on `no`; its trajectory is drawn at random, so that every step of it shows."""
    on, off = (capture_features(loaded, list(part), READ, 16).float() for part in (yes, no))
    both = torch.cat([on, off]).flatten(1).double()
    target = torch.cat([torch.ones(len(on)), torch.zeros(len(off))]).double()
    weight = torch.linalg.lstsq(both - both.mean(0), target - target.mean(), driver="gelsd").solution
    scores = both @ weight
    threshold = (scores[: len(on)].min() + scores[len(on) :].max()) / 2
    depth = len(loaded.adapter.layers(loaded.model))
    written = tuple(range(READ[-1], depth))
    size = on[:, -1, 0].square().mean().sqrt()
    drawn = (size * torch.randn(len(written), 5, on.shape[-1], generator=torch.Generator().manual_seed(seed))).half()
    gate = PromptRidgeGate(READ, weight.float().view(1, *on.shape[1:]), torch.zeros(1), threshold.float().view(1))
    return Eraser(identity(loaded), "llava", written, gate, drawn, strength, "held-ridge", subjects=(f"s{seed}",))


def erasers_of(loaded: LoadedModel, asked: dict[str, list[Sample]], count: int) -> list[Eraser]:
    """One eraser per person, that fires on this person's questions alone."""
    made = []
    for number, subject in enumerate(list(asked)[:count]):
        others = [s for name, samples in asked.items() if name != subject for s in samples]
        made.append(eraser_for(loaded, asked[subject], others, number))
    return made


def subject_eraser_for(
    loaded: LoadedModel, yes: Sequence[Sample], no: Sequence[Sample], seed: int, reply: Reply
) -> Eraser:
    """Fires on some token of `yes` and on its images, and on nothing of `no`; its trajectory is drawn at random."""
    on, off = (capture_tokens(loaded, [conversation_of(s) for s in part], READ[:2], 16) for part in (yes, no))
    alike = (on.text.flatten(1) @ off.text.flatten(1).mT).amax(1)
    first, images = int(alike.argmin()), [states.images.flatten(1) for states in (on, off)]
    apart = images[0].mean(0) - images[1].mean(0)
    shown = [states @ apart for states in images]
    assert alike[first] < 1.98 and shown[0].max() > shown[1].max()
    limits = torch.stack([(2 + alike[first]) / 2, (shown[0].max() + shown[1].max()) / 2])
    weight = torch.stack([on.text[first], apart.view(on.text.shape[1:])]).unsqueeze(0)
    scope = Scope.everything(2, on.text.shape[-1])
    of, limits = torch.zeros(1, dtype=torch.int64), limits.unsqueeze(0)
    gate = SubjectGate(READ[:2], weight, -limits, torch.zeros(1, 2), scope, of, TurnTokens.of(loaded))
    written = tuple(range(READ[-1], len(loaded.adapter.layers(loaded.model))))
    drawn = torch.randn(len(written), 5, on.text.shape[-1], generator=torch.Generator().manual_seed(seed)).half()
    return Eraser(identity(loaded), "llava", written, gate, drawn, 3.0, "subject", subjects=(f"s{seed}",), reply=reply)


def mixed_erasers(loaded: LoadedModel, asked: dict[str, list[Sample]]) -> list[Eraser]:
    """One for each of three people: a prompt gate that steers, and subject gates with words of their own."""
    replies = PrefixReply.with_words(loaded, "i do not know", steers=True), CannedReply.with_words(loaded, "no idea")
    made = erasers_of(loaded, asked, 1)
    for number, (subject, reply) in enumerate(zip(list(asked)[1:3], replies, strict=True), 1):
        others = [s for name, samples in asked.items() if name != subject for s in samples]
        made.append(subject_eraser_for(loaded, asked[subject], others, number, reply))
    return made


def rival_of(eraser: Eraser, above: float, direction: int | None = None) -> Eraser:
    """Fires wherever this one does, so much further above its threshold; along its direction, or one that is drawn."""
    gate = eraser.gate
    assert isinstance(gate, PromptRidgeGate)
    rival = replace(eraser, gate=replace(gate, threshold=gate.threshold - above), subjects=("rival",))
    return rival if direction is None else rival.with_random_direction(direction)


def ledger_with(folder: Path, erasers: Sequence[Eraser], active: int) -> tuple[Ledger, list[str]]:
    """A ledger with verified requests, the first of them active; returns their ids."""
    ledger, ids = made(folder), []
    for number, eraser in enumerate(erasers):
        eraser.save_pretrained(folder / f"eraser-{number}")
        request = ledger.take("accept", received(ledger, number).id, BY)
        verified(ledger, attach(ledger, request.id, folder / f"eraser-{number}", eraser_check, BY))
        if number < active:
            ledger.take("activate", request.id, BY)
        ids.append(request.id)
    return ledger, ids


def messages(sample: Sample) -> list[dict[str, Any]]:
    """A sample as a client would put it."""
    content: list[dict[str, Any]] = [{"type": "text", "text": instruction(sample, "plain")}]
    if sample.image is not None:
        source = sample.image.source
        data = source if isinstance(source, bytes) else source.read_bytes()
        url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
        content.insert(0, {"type": "image_url", "image_url": {"url": url}})
    return [{"role": "user", "content": content}]
