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
from unsee.serve.engine.bank import Owners
from unsee.serve.engine.parts import Parts, on
from unsee.serve.engine.plan import Reading
from unsee.shapes import Bool, Float, Int, Tensor


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
        self.owners = Owners.of_gates(self._gates, device)
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
        self.table = torch.zeros(self._places, len(text), device=device)
        self._writing: Int[Tensor, " P"] | None = None  # places that were written to last
        self._written: Bool[Tensor, " places"] | None = None  # and since another bank was made from this one

    def with_erasers(self, erasers: Mapping[str, Eraser]) -> "SubjectBank":
        """Other gates, with the scores of those that stay and of their scopes; steps may go on meanwhile."""
        made = SubjectBank(erasers, self._places, self._device)
        if made._columns == self._columns:
            made.table = self.table
            return made
        written = torch.zeros(self._places, dtype=torch.bool, device=self._device)
        self._written = written  # from here on `read` marks in it what it writes to
        if self._writing is not None:
            written[self._writing] = True
        made._copy(self, slice(None))
        return made

    def follow(self, before: "SubjectBank") -> None:
        """Take over what the bank that this one was made from has written since."""
        if self.table is not before.table and before._written is not None:
            self._copy(before, before._written.nonzero().squeeze(1))

    def read(self, layer: int, states: Float[Tensor, "P D"], reading: Reading) -> None:
        """Score every token of a prompt, by what it is."""
        units = unit(states)
        scores = units @ self._text[layer].mT
        if reading.shown is not None:
            scores[reading.shown] = units[reading.shown] @ self._image[layer].mT
        self._writing = reading.place
        if self._written is not None:
            self._written[reading.place] = True
        if layer == self.layers[0]:
            self.table[reading.place] = scores
        else:
            self.table.index_add_(0, reading.place, scores)

    def margins(self, reading: Reading, limits: Float[Tensor, "N K 2"]) -> Float[Tensor, "N M"]:
        """Of the prompts that end in this step, as `SubjectGate.margins`."""
        rows, subjects, _ = limits.shape
        parts = Parts.of(reading, self._turn, self._stops, self._device)
        scores = self.table[on(self._device, np.concatenate(reading.prompts))]
        broken = torch.zeros(rows, device=self._device)
        broken.index_add_(0, parts.request, (~scores.isfinite()).any(1).float())
        text = largest(scores[parts.text, :subjects], parts.text_when, 2 * rows)
        sums = scores.new_zeros(len(parts.image_when), subjects)
        sums.index_add_(0, parts.image, scores[parts.shown, :subjects])
        counts = torch.bincount(parts.image, minlength=len(sums)).unsqueeze(1)
        image = largest(sums / counts, parts.image_when, 2 * rows)
        scope = self._scopes(scores[:, subjects:], parts, rows)
        found = torch.stack([text.view(rows, 2, -1), image.view(rows, 2, -1)], dim=2).flatten(1, 2).mT  # as EVIDENCE
        subject = found + (self._bias - limits).repeat(1, 1, 2)
        margins = torch.minimum(subject, scope[:, self._scope_of]).amax(2)
        return self.owners.largest(margins.masked_fill((broken > 0).unsqueeze(1), torch.nan), limits)

    def _scopes(self, scores: Float[Tensor, "T 4S"], parts: Parts, rows: int) -> Float[Tensor, "N S 4"]:
        """As `RunningScope`, whole turns at once."""
        size = rows, parts.size
        each, stops = scores.new_zeros(*size, scores.shape[1]), torch.zeros(size, dtype=torch.bool, device=self._device)
        where = parts.now_of, parts.place
        each[where], stops[where] = scores[parts.now] - self._token.flatten(), parts.stops
        so_far = each.cumsum(1)
        before = so_far.masked_fill(~stops.unsqueeze(2), torch.inf).amin(1).clamp(max=0.0)
        return (so_far[:, -1] - before).view(rows, -1, 4) + self._scope_bias

    def _copy(self, before: "SubjectBank", rows: slice | Int[Tensor, " N"]) -> None:
        """Columns that both have, as many at a time as lie together in both."""
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
            self.table[rows, start:stop] = before.table[rows, there : there + stop - start]

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
