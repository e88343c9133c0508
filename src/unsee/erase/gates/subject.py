"""Is the subject here? One vector per subject, read at the subject's own tokens; and is this turn in scope?

    text_k  = max over text tokens t of <w_k,text, u_t> + b_k,text
    image_k = max over images j of mean over their tokens t of <w_k,image, u_t> + b_k,image

with unit-norm states `u_t`, each once for the user's last turn and once for all before it. It does not look at the
question, so no suffix, system prompt, turn or language reaches it, and a name and a few images fit it. The scores are
linear in each token, so a prompt may come in pieces; running maxima and sums per image are all that is kept of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self, final

import torch

from unsee.erase.artifact import TensorSpec
from unsee.erase.fit.tokens import unit
from unsee.erase.gates.base import Reading, register, require_all_read, require_numbers
from unsee.erase.gates.scope import RunningScope, Scope
from unsee.erase.steer.positions import Steps
from unsee.models.turns import TurnTokens
from unsee.shapes import Float, Int, Tensor

_SCOPE, _TURN, _PARTS = "scope.", "turn.", ("weight", "token", "bias")


@register
@final
@dataclass(frozen=True, eq=False)
class SubjectGate:
    """Fires on prompts in which a subject is named or shown, and whose last turn is in scope.

    `margin_k = max_e min(s_ke - threshold_ke, scope_ke)` over the evidence e: named or shown, in this turn or before.

    Attributes:
        layers: decoder blocks read, ascending.
        weight: per subject, evidence (0 text, 1 image) and block.
        bias: per subject and evidence, the calibrated threshold taken off.
        threshold: per subject and evidence, 0 alone and more beside other requests.
        scope: what a turn has to be about.
        scope_of: of each subject, which of the scopes.
        turn: where the user's last turn begins and ends, and its sentences.
    """

    layers: tuple[int, ...]
    weight: Float[Tensor, "K 2 R D"]
    bias: Float[Tensor, "K 2"]
    threshold: Float[Tensor, "K 2"]
    scope: Scope
    scope_of: Int[Tensor, " K"]
    turn: TurnTokens

    kind: ClassVar[str] = "subject"
    latched: ClassVar[Literal[True]] = True
    shares: ClassVar[Mapping[str, float]] = {"named": 0.01, "shown": 0.05}
    spec: ClassVar[Mapping[str, TensorSpec]] = {
        "weight": (torch.float32, ("K", 2, "R", "D")),
        "bias": (torch.float32, ("K", 2)),
        "threshold": (torch.float32, ("K", 2)),
        _SCOPE + "weight": (torch.float32, ("C", 4, "R", "D")),
        _SCOPE + "token": (torch.float32, ("C", 4)),
        _SCOPE + "bias": (torch.float32, ("C", 4)),
        _SCOPE + "of": (torch.int64, ("K",)),
        _TURN + "opens": (torch.int64, ("M",)),
        _TURN + "tail": (torch.int64, (1,)),
        _TURN + "stops": (torch.int64, ("E",)),
    }

    @property
    def sizes(self) -> tuple[int, int]:
        """Blocks and width."""
        return self.weight.shape[2], self.weight.shape[3]

    def tensors(self) -> dict[str, Tensor]:
        """By the names of `spec`."""
        own = {"weight": self.weight, "bias": self.bias, "threshold": self.threshold, _SCOPE + "of": self.scope_of}
        own |= {_SCOPE + name: part for name, part in vars(self.scope).items()}
        return own | {_TURN + name: part for name, part in vars(self.turn).items()}

    @classmethod
    def of(cls, layers: tuple[int, ...], tensors: Mapping[str, Tensor]) -> Self:
        """The gate that reads these blocks with these tensors."""
        scope = Scope(*(tensors[_SCOPE + name] for name in _PARTS))
        turn = TurnTokens(*(tensors[_TURN + name] for name in ("opens", "tail", "stops")))
        number = tensors["scope.of"].clamp(0, len(scope.bias) - 1)
        return cls(layers, tensors["weight"], tensors["bias"], tensors["threshold"], scope, number, turn)

    def with_threshold(self, threshold: Float[Tensor, "K 2"]) -> Self:
        """The same gate, harder or easier to fire."""
        return replace(self, threshold=threshold)

    def with_scope(self, scope: Scope) -> Self:
        """The same subjects with one scope for all."""
        return replace(self, scope=scope, scope_of=torch.zeros_like(self.scope_of))

    def beside(self, other: Self) -> Self:
        """The subjects of both, in this order; a scope that they share is kept once."""
        mine, theirs = self.tensors(), other.tensors()
        joined = {name: torch.cat([mine[name], theirs[name]]) for name in ("weight", "bias", "threshold")}
        parts = [_SCOPE + name for name in _PARTS]
        if all(torch.equal(mine[name], theirs[name]) for name in parts):
            scope, moved = {name: mine[name] for name in parts}, other.scope_of
        else:
            scope = {name: torch.cat([mine[name], theirs[name]]) for name in parts}
            moved = other.scope_of + len(self.scope.bias)
        of = torch.cat([self.scope_of, moved])
        return self.of(self.layers, mine | joined | scope | {_SCOPE + "of": of})

    def always(self) -> Self:
        """The control that fires on every prompt."""
        blocks, width = self.sizes
        nothing = torch.zeros(1, 2, blocks, width)
        scope, first = Scope.everything(blocks, width), torch.zeros(1, dtype=torch.int64)
        return replace(
            self, weight=nothing, bias=torch.ones(1, 2), threshold=torch.zeros(1, 2), scope=scope, scope_of=first
        )

    def rule(self, prompt_tokens: Int[Tensor, " B"]) -> "SubjectRule":
        """For prompts of so many real tokens."""
        return SubjectRule(self, prompt_tokens)

    def margins(
        self,
        text: Float[Tensor, "B 2 K"],
        image: Float[Tensor, "B 2 K"],
        scope: Float[Tensor, "B S 4"],
    ) -> Float[Tensor, "B K"]:
        """From the largest scores of a text token and of an image (0 now, 1 before), and the scopes' margins."""
        largest = torch.stack([text, image], dim=2).flatten(1, 2).mT  # as EVIDENCE: named, shown; then both before
        subject = largest + (self.bias - self.threshold).to(text).repeat(1, 2)
        return torch.minimum(subject, scope[:, self.scope_of]).amax(2)


@final
class SubjectRule:
    """The gate at work on one batch: maxima and sums over the calls of a chunked prefill, and one decision per row.

    Attributes:
        decided: rows whose prompt has been read to its end.
        margin: per row, how far above its threshold the gate is; minus infinity where it does not fire.
    """

    def __init__(self, gate: SubjectGate, prompt_tokens: Int[Tensor, " B"]) -> None:
        rows, subjects = len(prompt_tokens), len(gate.weight)
        self._gate = gate
        self._reads = gate.weight.flatten(3).any(3).any(0)  # evidence x block
        self._text = torch.full((rows, 2, subjects), -torch.inf)
        self._sums, self._counts = torch.zeros(rows, 0, subjects), torch.zeros(rows, 0)
        self._now = torch.zeros(rows, 0, dtype=torch.bool)
        self._said = RunningScope(gate.scope, rows)
        self._read = torch.zeros_like(prompt_tokens)
        self._scores, self._scope_scores = torch.zeros(0), torch.zeros(0)
        self._margins = torch.full((rows, subjects), -torch.inf)
        self.decided = torch.zeros(rows, dtype=torch.bool)
        self.margin = torch.full((rows,), -torch.inf)

    def read(self, layer: int, states: Float[Tensor, "B T D"], steps: Steps) -> None:
        """Add this call to what was read; rows whose prompt ends in it are decided at the last block read."""
        if layer not in self._gate.layers or bool(self.decided.all()):
            return
        place, images, undecided = self._gate.layers.index(layer), steps.images.cpu(), ~self.decided
        shown = steps.in_prompt & (images > 0)
        text = steps.in_prompt & (images == 0)
        units = unit(states.detach())
        if place == 0:
            self._scores = torch.zeros(2, *states.shape[:2], len(self._gate.weight), device=states.device)
            self._scope_scores = torch.zeros(*states.shape[:2], *self._gate.scope.token.shape, device=states.device)
        for evidence, there in enumerate((text, shown)):
            if bool(self._reads[evidence, place]) and bool(there.any()):
                towards = self._gate.weight[:, evidence, place].to(states.device, torch.float32)
                self._scores[evidence] += units @ towards.mT
        of_scope = self._gate.scope.weight[:, :, place].to(states.device, torch.float32)
        self._scope_scores += torch.einsum("btd,sed->btse", units, of_scope)
        if place == len(self._gate.layers) - 1:
            turn = self._gate.turn
            now, stops = steps.in_last_turn(turn.opens), steps.ends_sentence(turn.stops, int(turn.tail))
            self._pool(text, shown, images, now, undecided)
            self._said.add(self._scope_scores.cpu(), text & now & undecided.unsqueeze(1), stops)
            self._decide(steps, undecided & steps.last.any(1))

    def reading(self) -> Reading | None:
        """What the gate said, once it has decided every row."""
        return Reading(self._margins.clone(), self.margin >= 0) if bool(self.decided.all()) else None

    def _pool(self, text: Tensor, shown: Tensor, images: Tensor, now: Tensor, undecided: Tensor) -> None:
        scores = self._scores.cpu()
        for when, there in enumerate((text & now, text & ~now)):
            largest = scores[0].masked_fill(~there.unsqueeze(2), -torch.inf).amax(1)
            self._text[undecided, when] = torch.maximum(self._text[:, when], largest)[undecided]
        more = int(images.max()) - self._sums.shape[1]
        if more > 0:
            self._sums = torch.nn.functional.pad(self._sums, (0, 0, 0, more))
            self._counts = torch.nn.functional.pad(self._counts, (0, more))
            self._now = torch.nn.functional.pad(self._now, (0, more))
        for number in range(1, int(images.max()) + 1):
            mine = shown & (images == number) & undecided.unsqueeze(1)
            self._sums[:, number - 1] += scores[1].masked_fill(~mine.unsqueeze(2), 0.0).sum(1)
            self._counts[:, number - 1] += mine.sum(1)
            self._now[:, number - 1] |= (mine & now).any(1)
        self._read += (text | shown).sum(1) * undecided

    def _decide(self, steps: Steps, ending: Tensor) -> None:
        require_all_read(self._read[ending], steps.prompt_tokens[ending])
        counts = self._counts[ending].unsqueeze(2)
        means = (self._sums[ending] / counts.clamp(min=1)).masked_fill(counts == 0, -torch.inf)
        none = means.new_full((len(means), 1, means.shape[2]), -torch.inf)
        now = self._now[ending].unsqueeze(2)
        parts = [torch.cat([means.masked_fill(~there, -torch.inf), none], dim=1).amax(1) for there in (now, ~now)]
        margins = self._gate.margins(self._text[ending], torch.stack(parts, dim=1), self._said.margins()[ending])
        require_numbers(margins)
        self._margins[ending] = margins
        largest = margins.amax(1)
        self.margin[ending] = largest.masked_fill(largest < 0, -torch.inf)
        self.decided |= ending
