"""The bird that is sent in first: a known artifact that must change a known answer, as the library says it does.

It is made from the model itself and from nobody's data. Its gate fires on one of two prompts and not on the other; its
trajectory is drawn at random. An engine that reads one layer too few, one stream of two, or one token beside the last
gives another answer, and must not serve.
"""

import io
from dataclasses import dataclass
from typing import Any, Protocol, final

import torch
from PIL import Image

from unsee.data.sample import ImageFile, Sample
from unsee.erase.eraser import Eraser
from unsee.erase.fit.activations import capture_features
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.models.load import LoadedModel
from unsee.serve.errors import CanaryError
from unsee.serve.parity.comparison import Answer, Difference, Prompt, difference, library_answers, prompts_of

STEPS = 4
STRENGTH = 2.0


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


def hatch(loaded: LoadedModel, read: tuple[int, ...], written: tuple[int, ...], seed: int = 0) -> Canary:
    """Make a canary for a model.

    Args:
        loaded: the model that is served.
        read: layers that gates read.
        written: layers that are steered.
        seed: of the trajectory.

    Raises:
        CanaryError: it changes nothing in the library, so it could show nothing.
    """
    samples = [_sample("canary/on", "What is this?", 64), _sample("canary/off", "Where does this person live?", 192)]
    on, off = capture_features(loaded, samples, read, 1).float()
    apart = on - off
    weight = apart / apart.square().sum()
    scores = [float((weight * features).sum()) for features in (on, off)]
    generator = torch.Generator().manual_seed(seed)
    size = on[:, 0].square().mean().sqrt()
    drawn = size * torch.randn(len(written), STEPS, on.shape[-1], generator=generator)
    drawn = drawn.half()  # which is what the engine reads of a saved eraser
    gate = PromptRidgeGate(read, weight.unsqueeze(0), torch.zeros(1), torch.tensor([sum(scores) / 2]))
    model: Any = {"id": loaded.name, "revision": loaded.revision, "digest": loaded.digest}
    eraser = Eraser(model, loaded.adapter.family, written, gate, drawn, STRENGTH, "canary", subjects=("canary",))
    plain, steered = library_answers(loaded, samples, ()), library_answers(loaded, samples, (eraser,))
    if plain[0].tokens == steered[0].tokens or plain[1] != _without_margin(steered[1]):
        raise CanaryError(
            "the canary does not do in the library what it must show in the engine: expected its first answer to "
            "change and its second to stay. Tell the maintainers which model this is."
        )
    return Canary(eraser, prompts_of(loaded, samples), plain, steered)


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


def _sample(name: str, question: str, shade: int) -> Sample:
    stream = io.BytesIO()
    Image.linear_gradient("L").point([(level + shade) % 256 for level in range(256)]).convert("RGB").save(stream, "PNG")
    return Sample(name, "canary", question, "", "", image=ImageFile(name, stream.getvalue()))


def _without_margin(answer: Answer) -> Answer:
    return Answer(answer.prompt, answer.tokens, answer.logprobs, answer.text, None)
