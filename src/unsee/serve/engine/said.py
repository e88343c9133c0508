"""What the gates said in one step."""

from collections.abc import Sequence
from typing import final

from unsee.serve.engine.leaving import Leaving
from unsee.serve.engine.resident import Held
from unsee.serve.engine.tracking import Tracked
from unsee.shapes import Float, Tensor


@final
class Said:
    """Margins of the requests that were decided.

    Attributes:
        ending: the requests.
    """

    def __init__(self, ending: Sequence[Tracked], banks: Sequence[tuple[Held, Float[Tensor, "N E"]]]) -> None:
        self.ending, self._held = ending, [held for held, _ in banks]
        self._margins = Leaving([margins for _, margins in banks])

    @property
    def there(self) -> bool:
        """Whether the host has them."""
        return self._margins.there

    def margins(self) -> list[dict[str, float]]:
        """Of each request, by content id of an eraser; waits for them."""
        found: list[dict[str, float]] = [{} for _ in self.ending]
        for held, margins in zip(self._held, self._margins.arrived(), strict=True):
            for own, row in zip(found, margins.tolist(), strict=True):
                own |= zip(held.bank.owners.ids, row, strict=True)
        return found
