"""The birds that are sent in first: known artifacts that must change a known answer, as the library says they do.

They are made from the model itself and from nobody's data. Each has another kind of gate and of reply, fires on one of
two prompts and not on the other; the trajectory is drawn at random. An engine that reads one layer too few, one stream
of two, one token beside the last, or part of an image gives another answer, and must not serve.
"""

import io
from dataclasses import dataclass
from typing import Any, Protocol, final

import torch
from PIL import Image

from unsee.data.sample import ImageFile, Sample
from unsee.erase.config import Settings
from unsee.erase.eraser import Eraser
from unsee.erase.fit.activations import capture_features
from unsee.erase.replies.canned import CannedReply
from unsee.erase.replies.prefix import PrefixReply
from unsee.erase.replies.steer import SteerReply
from unsee.models.load import LoadedModel
from unsee.serve.errors import CanaryError
from unsee.serve.parity.comparison import Answer, Difference, Prompt, difference, library_answers, prompts_of
from unsee.serve.parity.known_gates import image_gate, name_gate, prompt_gate

STEPS = 4
STRENGTH = 2.0
WORDS = "I do not know"


class Ask(Protocol):
    """Asks the engine one prompt, steered by the canary or by nothing."""

    async def __call__(self, prompt: Prompt, steered: bool) -> Answer:
        """The greedy answer."""
        ...


@final
@dataclass(frozen=True)
class Canary:
    """A known artifact and its known answers.

    Attributes:
        eraser: fires on the first prompt only.
        prompts: two, with an image each.
        plain: the library's answers without it.
        steered: with it.
    """

    eraser: Eraser
    prompts: list[Prompt]
    plain: list[Answer]
    steered: list[Answer]


def hatch(loaded: LoadedModel, read: tuple[int, ...] = (), seed: int = 0) -> tuple[Canary, ...]:
    """Make the canaries of a model: by prompt and steered, by name with words first, by image with fixed words.

    Args:
        loaded: the model that is served.
        read: layers that gates read; those of a default fit if empty.
        seed: of the trajectory.

    Raises:
        CanaryError: one changes nothing in the library, so it could show nothing.
    """
    samples = [_sample("canary/on", "What is this?", 64), _sample("canary/off", "Where does this person live?", 192)]
    depth, width = len(loaded.adapter.layers(loaded.model)), loaded.adapter.hidden_size(loaded.model)
    read = read or Settings().layers_read(depth)
    gate = prompt_gate(loaded, samples, read)
    kinds = (
        (gate, SteerReply()),
        (name_gate(loaded, samples, read), PrefixReply.with_words(loaded, WORDS, steers=True)),
        (image_gate(loaded, samples, read), CannedReply.with_words(loaded, WORDS)),
    )
    written = tuple(range(read[-1], depth))
    drawn = torch.randn(len(written), STEPS, width, generator=torch.Generator().manual_seed(seed))
    drawn = (drawn * _size(loaded, samples, read)).half()  # which is what the engine reads of a saved eraser
    model: Any = {"id": loaded.name, "revision": loaded.revision, "digest": loaded.digest}
    plain, prompts, made = library_answers(loaded, samples, ()), prompts_of(loaded, samples), []
    for gate, reply in kinds:
        eraser = Eraser(
            model, loaded.adapter.family, written, gate, drawn, STRENGTH, "canary", subjects=("canary",), reply=reply
        )
        steered = library_answers(loaded, samples, (eraser,))
        if plain[0].tokens == steered[0].tokens or plain[1] != _without_margin(steered[1]):
            raise CanaryError(
                f"the canary with a gate of kind {gate.kind!r} does not do in the library what it must show in the "
                "engine: expected its first answer to change and its second to stay. Tell the maintainers which model "
                "this is."
            )
        made.append(Canary(eraser, prompts, plain, steered))
    return tuple(made)


async def fly(canary: Canary, ask: Ask, exact: bool) -> list[Difference]:
    """Ask the engine what the library was asked, and compare.

    Args:
        canary: of the very model.
        ask: asks the engine.
        exact: whether the engine runs in float32; otherwise verdicts and gates are compared, loosely.

    Raises:
        CanaryError: the engine does something else, so it must not serve.
    """
    found = []
    for steered, expected in ((False, canary.plain), (True, canary.steered)):
        for prompt, answer in zip(canary.prompts, expected, strict=True):
            engine = await ask(prompt, steered)
            found.append(difference(prompt.id, int(steered), answer, engine))
    wrong = [one for one in found if not (one.exact if exact else one.close)]
    if wrong:
        worst = max(one.logprob for one in wrong)
        raise CanaryError(
            f"the engine and the library differ on {len(wrong)} of {len(found)} canary prompts, by {worst:.2g} nats at "
            f"most (first: {wrong[0]}). Nothing is served. Check that both load the same weights, or report it."
        )
    return found


def _size(loaded: LoadedModel, samples: list[Sample], read: tuple[int, ...]) -> float:
    """Of a state at the last prompt token of the first layer read, per dimension."""
    return float(capture_features(loaded, samples[:1], read[:1], 1).float()[0, 0, 0].square().mean().sqrt())


def _sample(name: str, question: str, shade: int) -> Sample:
    stream = io.BytesIO()
    Image.linear_gradient("L").point([(level + shade) % 256 for level in range(256)]).convert("RGB").save(stream, "PNG")
    return Sample(name, "canary", question, "", "", image=ImageFile(name, stream.getvalue()))


def _without_margin(answer: Answer) -> Answer:
    return Answer(answer.prompt, answer.tokens, answer.logprobs, answer.text, None)
