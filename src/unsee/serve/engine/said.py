"""What the gates said in one step, on its way from the device to the host."""

from collections.abc import Sequence
from typing import final

import torch

from unsee.serve.engine.resident import Held
from unsee.serve.engine.tracking import Tracked
from unsee.shapes import Float, Tensor


@final
class Said:
    """Margins of the requests that were decided; nobody waits for them unless somebody asks.

    Attributes:
        ending: the requests.
    """

    def __init__(self, ending: Sequence[Tracked], banks: Sequence[tuple[Held, Float[Tensor, "N E"]]]) -> None:
        self.ending = ending
        self._banks = [(held, _leaving(margins)) for held, margins in banks]
        self._event = torch.cuda.Event() if any(margins.is_cuda for _, margins in banks) else None
        if self._event is not None:
            self._event.record()

    @property
    def there(self) -> bool:
        """Whether the host has them."""
        return self._event is None or self._event.query()

    def margins(self) -> list[tuple[Held, list[list[float]]]]:
        """By bank, of each request and eraser; waits for them."""
        if self._event is not None:
            self._event.synchronize()
        return [(held, margins.tolist()) for held, margins in self._banks]


def _leaving(margins: Tensor) -> Tensor:
    if not margins.is_cuda:
        return margins
    return torch.empty_like(margins, device="cpu", pin_memory=True).copy_(margins, non_blocking=True)
