"""Gates that are made of two prompts and tell them apart by 1: each fires on the first by 0.5 at most."""

from collections.abc import Sequence

import torch

from unsee.data.sample import Sample
from unsee.erase.fit.activations import capture_features
from unsee.erase.fit.tokens import capture_tokens, capture_turns
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.gates.scope import Scope
from unsee.erase.gates.subject import SubjectGate
from unsee.models.generate import conversation_of
from unsee.models.load import LoadedModel
from unsee.models.turns import TurnTokens
from unsee.shapes import Float, Tensor


def prompt_gate(loaded: LoadedModel, samples: Sequence[Sample], read: tuple[int, ...]) -> PromptRidgeGate:
    """By the last prompt token and the mean over the prompt."""
    on, off = capture_features(loaded, samples, read, 1).float()
    weight, middle = _between(on, off)
    return PromptRidgeGate(read, weight.unsqueeze(0), torch.zeros(1), middle.view(1))


def name_gate(loaded: LoadedModel, samples: Sequence[Sample], read: tuple[int, ...]) -> SubjectGate:
    """By one token of text; what the turn is about is nearer to its threshold on the first, the token on the second."""
    prompts = [conversation_of(sample) for sample in samples]
    states = capture_tokens(loaded, prompts, read, 1)
    on, off = (states.text[states.prompt == number].flatten(1) for number in (0, 1))
    alike = (on @ off.mT).amax(1)
    first = int(alike.argmin())
    gap = len(read) - alike[first]  # each block's state is of unit norm
    weight = torch.zeros(1, 2, *states.text.shape[1:])
    weight[0, 0] = (on[first] / gap).view(states.text.shape[1:])
    bias = torch.stack([0.5 - len(read) / gap, torch.tensor(-1.0)]).unsqueeze(0)
    turns = capture_turns(loaded, prompts, read, 1)
    whole = turns.sums[torch.searchsorted(turns.prompt, torch.arange(2))]
    scope = Scope.everything(len(read), states.text.shape[-1])
    scope.weight[0, 0], _ = _between(whole[1], whole[0])
    scope.bias[0, 0] = 0.0
    scope.bias[0, 0] = 0.25 - scope.margins(turns)[0, 0, 0]
    return _subject(loaded, read, weight, bias, scope)


def image_gate(loaded: LoadedModel, samples: Sequence[Sample], read: tuple[int, ...]) -> SubjectGate:
    """By the mean over an image's own tokens."""
    states = capture_tokens(loaded, [conversation_of(sample) for sample in samples], read, 1)
    towards, middle = _between(states.images[0], states.images[1])
    weight = torch.stack([torch.zeros_like(towards), towards]).unsqueeze(0)
    bias = torch.stack([torch.tensor(-1.0), -middle]).unsqueeze(0)
    return _subject(loaded, read, weight, bias, Scope.everything(*towards.shape))


def _subject(
    loaded: LoadedModel, read: tuple[int, ...], weight: Float[Tensor, "1 2 R D"], bias: Tensor, scope: Scope
) -> SubjectGate:
    first = torch.zeros(1, dtype=torch.int64)
    return SubjectGate(read, weight, bias, torch.zeros(1, 2), scope, first, TurnTokens.of(loaded))


def _between(on: Tensor, off: Tensor) -> tuple[Tensor, Tensor]:
    """A vector along which they are 1 apart, and what lies in the middle."""
    apart = on - off
    weight = apart / apart.square().sum()
    return weight, (weight * (on + off)).sum() / 2
