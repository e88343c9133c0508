"""Subject gates in the engine: scores of single tokens lie beside the cache, one row for each place of it.

A token's scores depend on its state alone, so a prompt that is cut into chunks, or begins in the cache, is decided by
the same numbers as one that comes whole. At its end they are put together: the largest over the text, the mean over
each image, the words of the last turn added up.
"""

import hashlib
from collections.abc import Mapping
from typing import final

import numpy as np
import torch

from unsee.erase.eraser import Eraser
from unsee.erase.fit.tokens import unit
from unsee.erase.gates.base import require_kind
from unsee.erase.gates.scope import largest
from unsee.erase.gates.subject import SubjectGate
from unsee.erase.steer.positions import in_last_turn
from unsee.models.turns import TurnTokens
from unsee.serve.engine.bank import Owners
from unsee.serve.engine.plan import Reading
from unsee.shapes import Float, Tensor


@final
class SubjectBank:
    """Subject gates that read the same layers and turns: K subjects and S scopes cost (K + 4 S) D a token and layer.

    Attributes:
        layers: read, ascending.
        owners: whose the gates are.
        table: by place of the cache, the scores of K subjects, and those of S scopes by evidence.
    """

    def __init__(
        self,
        erasers: Mapping[str, Eraser],
        places: int,
        device: torch.device,
    ) -> None:
        self._gates = {name: require_kind(eraser.gate, SubjectGate) for name, eraser in erasers.items()}
        gates = list(self._gates.values())
        self.layers, self._turn, self._places, self._device = gates[0].layers, gates[0].turn, places, device
        self.owners = Owners.of_sizes({name: len(gate.threshold) for name, gate in self._gates.items()}, device)
        scopes, places_of, numbers = list[tuple[Tensor, ...]](), dict[bytes, int](), list[Tensor]()
        for gate in gates:
            own = list(zip(*(part.float().cpu() for part in vars(gate.scope).values()), strict=True))
            keys = [_digest(one) for one in own]
            for key, one in zip(keys, own, strict=True):
                if key not in places_of:
                    places_of[key] = len(scopes)
                    scopes.append(one)
            numbers.append(torch.tensor([places_of[key] for key in keys])[gate.scope_of.cpu()])
        weight = torch.cat([gate.weight for gate in gates]).float().cpu()  # K 2 R D
        scope = torch.cat([weight for weight, *_ in scopes])  # 4S R D
        text, image = torch.cat([weight[:, 0], scope]), torch.cat([weight[:, 1], torch.zeros_like(scope)])
        self._text = {layer: text[:, r].to(device).contiguous() for r, layer in enumerate(self.layers)}
        self._image = {layer: image[:, r].to(device).contiguous() for r, layer in enumerate(self.layers)}
        self._bias = torch.cat([gate.bias for gate in gates]).float().to(device)
        self._token, self._scope_bias = (torch.stack([one[number] for one in scopes]).to(device) for number in (1, 2))
        self._scope_of = torch.cat(numbers).to(device)
        self._stops = np.zeros(2 + max(self._turn.stops.tolist(), default=0), dtype=bool)
        self._stops[self._turn.stops.numpy()] = True
        self._columns = self._named(list(places_of))
        self.table = torch.zeros(self._places, len(text), device=device).fill_(0.0)  # written to, so that it is there

    def with_erasers(self, erasers: Mapping[str, Eraser]) -> "SubjectBank":
        """Other gates."""
        return SubjectBank(erasers, self._places, self._device)

    def follow(self, before: "SubjectBank") -> None:
        """The columns of gates that stay, and of their scopes, are taken along: as few copies as they allow."""
        if before._columns == self._columns:
            self.table = before.table
            return
        runs = list[tuple[int, int, int]]()  # first and last column here, and first there
        for name, (start, stop) in self._columns.items():
            there = before._columns.get(name)
            if there is None:
                continue
            if runs and (runs[-1][1], runs[-1][2] + runs[-1][1] - runs[-1][0]) == (start, there[0]):
                runs[-1] = runs[-1][0], stop, runs[-1][2]
            else:
                runs.append((start, stop, there[0]))
        for start, stop, there in runs:
            self.table[:, start:stop] = before.table[:, there : there + stop - start]

    def read(self, layer: int, states: Float[Tensor, "P D"], reading: Reading) -> None:
        """Score every token of a prompt, by what it is."""
        units = unit(states)
        scores = units @ self._text[layer].mT
        if reading.shown is not None:
            scores[reading.shown] = units[reading.shown] @ self._image[layer].mT
        if layer == self.layers[0]:
            self.table[reading.place] = scores
        else:
            self.table.index_add_(0, reading.place, scores)

    def margins(self, reading: Reading, limits: Float[Tensor, "N K"]) -> Float[Tensor, "N E"]:
        """Of the prompts that end in this step, as `SubjectGate.margins`."""
        rows, subjects = limits.shape
        parts = _Parts.of(reading, self._turn, self._stops, self._device)
        scores = self.table[_on(self._device, np.concatenate(reading.prompts))]
        broken = torch.zeros(rows, device=self._device)
        broken.index_add_(0, parts.request, (~scores.isfinite()).any(1).float())
        text = largest(scores[parts.text, :subjects], parts.text_when, 2 * rows)
        sums = scores.new_zeros(len(parts.image_when), subjects)
        sums.index_add_(0, parts.image, scores[parts.shown, :subjects])
        counts = torch.bincount(parts.image, minlength=len(sums)).unsqueeze(1)
        image = largest(sums / counts, parts.image_when, 2 * rows)
        scope = self._scopes(scores[:, subjects:], parts, rows)
        found = torch.stack([text.view(rows, 2, -1), image.view(rows, 2, -1)], dim=2).flatten(1, 2).mT  # as EVIDENCE
        subject = found + self._bias.repeat(1, 2) - limits.unsqueeze(2)
        margins = torch.minimum(subject, scope[:, self._scope_of]).amax(2)
        return self.owners.largest(margins.masked_fill((broken > 0).unsqueeze(1), torch.nan), limits)

    def _scopes(self, scores: Float[Tensor, "T 4S"], parts: "_Parts", rows: int) -> Float[Tensor, "N S 4"]:
        """As `RunningScope`, whole turns at once."""
        size = rows, parts.size
        each, stops = scores.new_zeros(*size, scores.shape[1]), torch.zeros(size, dtype=torch.bool, device=self._device)
        where = parts.now_of, parts.place
        each[where], stops[where] = scores[parts.now] - self._token.flatten(), parts.stops
        so_far = each.cumsum(1)
        before = so_far.masked_fill(~stops.unsqueeze(2), torch.inf).amin(1).clamp(max=0.0)
        return (so_far[:, -1] - before).view(rows, -1, 4) + self._scope_bias

    def _named(self, scopes: list[bytes]) -> dict[str | bytes, tuple[int, int]]:
        """First and last column of each eraser and each scope."""
        found, start = dict[str | bytes, tuple[int, int]](), 0
        for name, size in [*zip(self.owners.ids, self.owners.sizes, strict=True), *((key, 4) for key in scopes)]:
            found[name] = start, start + size
            start += size
        return found


def _digest(scope: tuple[Tensor, ...]) -> bytes:
    """Equal scopes have the same."""
    found = hashlib.sha256()
    for part in scope:
        found.update(part.contiguous().numpy().data)
    return found.digest()


@final
class _Parts:
    """What each token of the prompts that end is, all behind one another.

    Attributes:
        request: which of the prompts it belongs to.
        text: tokens of text.
        text_when: of each of those, twice its prompt, and one more before the user's last turn.
        now: tokens of text in the last turn.
        now_of: prompts of those.
        size: one more than the last place of any of those in its prompt.
        place: of each of those, its place in its prompt.
        stops: whether it ends a sentence behind which the user says more.
        shown: tokens of images.
        image: which image each belongs to, of all prompts.
        image_when: of each image, as `text_when`; in the last turn if any of its tokens is.
    """

    def __init__(
        self, request: np.ndarray, place: np.ndarray, now: np.ndarray, stops: np.ndarray, images: np.ndarray,
        device: torch.device,
    ) -> None:  # fmt: skip
        shown, said = images > 0, now & (images == 0)
        # One number for each image of each prompt, in order.
        mark = (request * (1 + images.max(initial=0)) + images)[shown]
        number, first, image = np.unique(mark, return_index=True, return_inverse=True)
        later = np.zeros(len(number), dtype=bool)
        np.logical_or.at(later, image, now[shown])
        texts = np.flatnonzero(~shown)
        self.request = _on(device, request)
        self.text, self.text_when = _on(device, texts), _on(device, (2 * request + ~now)[texts])
        self.now, self.now_of = (_on(device, x) for x in (np.flatnonzero(said), request[said]))
        self.shown, self.image = _on(device, np.flatnonzero(shown)), _on(device, image)
        self.image_when = _on(device, 2 * request[shown][first] + ~later)
        self.place, self.stops = _on(device, place[said]), _on(device, stops[said]).bool()
        self.size = 1 + int(place[said].max(initial=0))

    @staticmethod
    def of(reading: Reading, turn: TurnTokens, stops: np.ndarray, device: torch.device) -> "_Parts":
        """Of the prompts that end in a step; `stops` says of each token whether it ends a sentence."""
        lengths = [tracked.prompt_tokens for tracked in reading.ending]
        request = np.repeat(np.arange(len(lengths)), lengths)
        place = np.concatenate([np.arange(length) for length in lengths])
        now = [in_last_turn(torch.from_numpy(t.ids).unsqueeze(0), turn.opens)[0].numpy() for t in reading.ending]
        ids, images = (np.concatenate([getattr(t, part) for t in reading.ending]) for part in ("ids", "images"))
        left = np.asarray(lengths)[request] - 1 - place
        ends = stops[np.minimum(ids, len(stops) - 1)] & (left > int(turn.tail))
        return _Parts(request, place, np.concatenate(now), ends, images, device)


def _on(device: torch.device, values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.int64, copy=False)).to(device, non_blocking=True)
