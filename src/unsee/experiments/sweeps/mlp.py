"""A small MLP where the default has one linear gate per subject: the same features, targets and class weights.

Only for comparison: the paper reports that an MLP overfits. When to stop is found by cross-validation over people: each
half of the retained people is scored by a network that was trained on the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import nn

from unsee.erase.config import Settings
from unsee.erase.fit.calibration import raised_together
from unsee.errors import OptionError
from unsee.shapes import Bool, Float, Int, Tensor

_BATCH, _RATE = 256, 1e-3


@final
@dataclass(frozen=True, eq=False)
class MLPGate:
    """One hidden layer, one output per subject; fires as a held gate does.

    Attributes:
        net: from standardised features to scores.
        centre: mean of each feature in the fit.
        scale: its standard deviation.
        threshold: per subject.
        epochs: passes over the data of the fit.
    """

    net: nn.Module
    centre: Float[Tensor, " M"]
    scale: Float[Tensor, " M"]
    threshold: Float[Tensor, " K"]
    epochs: int

    @torch.no_grad()
    def scores(self, features: Float[Tensor, "N M"]) -> Float[Tensor, "N K"]:
        """About 1 on a subject's prompts and 0 on the rest."""
        return self.net((features - self.centre) / self.scale)

    def fires(self, features: Float[Tensor, "N R 2 D"]) -> Bool[Tensor, " N"]:
        """Whether any subject's score reaches its threshold."""
        return (self.scores(features.float().flatten(1)) >= self.threshold).any(1)


@final
@dataclass(frozen=True, eq=False)
class Prompts:
    """What a gate is fitted on.

    Attributes:
        forget: prompts about the subjects.
        owner: whose they are, from 0.
        halves: prompts about retained people, nobody in both.
        others: about nobody in particular.
        keep: about the subjects, still to be answered.
    """

    forget: Float[Tensor, "N M"]
    owner: Int[Tensor, " N"]
    halves: tuple[Float[Tensor, "_ M"], Float[Tensor, "_ M"]]
    others: Float[Tensor, "_ M"]
    keep: Float[Tensor, "_ M"]


def fit_mlp(
    prompts: Prompts, settings: Settings, *, hidden: int, most: int = 20, stop: bool = True, seed: int = 0
) -> MLPGate:
    """Least squares to 1 and 0 with the class weights of the default gate, by AdamW.

    For subject k: a half on its own prompts, a quarter on `keep`, a quarter on all else that is kept; the other
    subjects' prompts do not enter. The threshold is as the default's, `raised_together` from crossed scores.

    Args:
        prompts: of the fit.
        settings: `tail` and `floor`.
        hidden: units.
        most: passes over the data at most.
        stop: use as many passes as serve the unseen half best; else `most`.
        seed: of weights and order.

    Raises:
        OptionError: no hidden unit or no pass.
    """
    if hidden < 1 or most < 1:
        raise OptionError(f"hidden is {hidden} and most is {most}, expected at least 1 of each")
    halves = prompts.halves
    crossed = [_train(prompts, [seen], unseen, hidden, most, seed) for seen, unseen in (halves, halves[::-1])]
    errors = torch.stack([history for _, history, _ in crossed]).mean(0)
    epochs = int(errors.argmin()) + 1 if stop else most
    # Their scores after as many passes as the fit that is used gets.
    unseen = torch.cat([scores[epochs - 1] for _, _, scores in crossed])
    gate, _, _ = _train(prompts, halves, prompts.others[:1], hidden, epochs, seed)
    lowest = torch.full((unseen.shape[1],), settings.floor)
    return MLPGate(gate.net, gate.centre, gate.scale, raised_together(unseen, lowest, settings.tail), epochs)


def _train(
    prompts: Prompts, kept: Sequence[Float[Tensor, "_ M"]], unseen: Tensor, hidden: int, epochs: int, seed: int
) -> tuple[MLPGate, Float[Tensor, " E"], list[Float[Tensor, "_ K"]]]:
    """A network; after each pass its error, own prompts against unseen retained ones, and the latter's scores."""
    classes = int(prompts.owner.max()) + 1
    negative = torch.cat([*kept, prompts.others])
    states = torch.cat([prompts.forget, prompts.keep, negative]).float()
    target = torch.zeros(len(states), classes)
    weight = torch.zeros_like(target)
    rows = torch.arange(len(prompts.owner))
    target[rows, prompts.owner] = 1.0
    weight[rows, prompts.owner] = 0.5 / prompts.owner.bincount()[prompts.owner].float()
    after = len(rows) + len(prompts.keep)
    weight[len(rows) : after] = 0.25 / max(1, len(prompts.keep))
    weight[after:] = 0.25 / len(negative)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(states.shape[1], hidden), nn.GELU(), nn.Linear(hidden, classes))
        centre, scale = states.mean(0), states.std(0).clamp(min=1e-6)
        gate = MLPGate(net, centre, scale, torch.zeros(classes), epochs)
        inputs = (states - centre) / scale
        optimiser = torch.optim.AdamW(net.parameters(), lr=_RATE, weight_decay=0.01)
        history, scores = [], []
        for _ in range(epochs):
            for batch in torch.randperm(len(states)).split(_BATCH):
                error = (net(inputs[batch]) - target[batch]).square()
                loss = (error * weight[batch]).sum() * len(states) / len(batch) / classes
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
            scores.append(gate.scores(unseen.float()))
            own = gate.scores(prompts.forget.float())[rows, prompts.owner]
            # Of people who are kept the largest score counts, as any gate that fires is one too many.
            wrong = scores[-1].amax(1).clamp(min=0)
            history.append(((1 - own).square().mean() + wrong.square().mean()) / 2)
    return gate, torch.stack(history), scores
