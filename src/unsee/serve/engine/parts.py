"""What each token of the prompts that end in a step is, for subject gates: text or image, now or before."""

from typing import final

import numpy as np
import torch

from unsee.erase.steer.positions import in_last_turn
from unsee.models.turns import TurnTokens
from unsee.serve.engine.plan import Reading
from unsee.shapes import Tensor


@final
class Parts:
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
        self.request = on(device, request)
        self.text, self.text_when = on(device, texts), on(device, (2 * request + ~now)[texts])
        self.now, self.now_of = (on(device, x) for x in (np.flatnonzero(said), request[said]))
        self.shown, self.image = on(device, np.flatnonzero(shown)), on(device, image)
        self.image_when = on(device, 2 * request[shown][first] + ~later)
        self.place, self.stops = on(device, place[said]), on(device, stops[said]).bool()
        self.size = 1 + int(place[said].max(initial=0))

    @staticmethod
    def of(reading: Reading, turn: TurnTokens, stops: np.ndarray, device: torch.device) -> "Parts":
        """Of the prompts that end in a step; `stops` says of each token whether it ends a sentence."""
        lengths = [tracked.prompt_tokens for tracked in reading.ending]
        request = np.repeat(np.arange(len(lengths)), lengths)
        place = np.concatenate([np.arange(length) for length in lengths])
        now = [in_last_turn(torch.from_numpy(t.ids).unsqueeze(0), turn.opens)[0].numpy() for t in reading.ending]
        ids, images = (np.concatenate([getattr(t, part) for t in reading.ending]) for part in ("ids", "images"))
        left = np.asarray(lengths)[request] - 1 - place
        ends = stops[np.minimum(ids, len(stops) - 1)] & (left > int(turn.tail))
        return Parts(request, place, np.concatenate(now), ends, images, device)


def on(device: torch.device, values: np.ndarray) -> Tensor:
    """Numbers of the host, on the device; nobody waits."""
    return torch.from_numpy(values.astype(np.int64, copy=False)).to(device, non_blocking=True)
