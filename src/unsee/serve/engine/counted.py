"""What was done for requests in one step, as reports that ride on the engine's output to whoever answers clients."""

from collections.abc import Callable, Sequence
from typing import Any, final

from unsee.serve.engine.leaving import Leaving
from unsee.serve.engine.tracking import Tracked
from unsee.shapes import Int, Tensor


@final
class Counted:
    """Of the requests for which a token was chosen; reports are asked for once, step by step, perhaps in a thread."""

    def __init__(
        self, choosing: Sequence[tuple[Tracked, int]], done: Int[Tensor, "2 N"] | None, settle: Callable[[], None]
    ) -> None:
        """Take down what is known on the host, and send for the rest.

        Args:
            choosing: requests, and the step of their answers whose token was chosen.
            done: of each, positions steered and tokens fixed so far; None where no gate is open.
            settle: takes in what the gates have said.
        """
        self._rows = [(tracked, step, tracked.answered) for tracked, step in choosing]
        self._done = None if done is None else Leaving([done])
        self._settle = settle

    def reports(self) -> dict[str, dict[str, Any]]:
        """By the engine's id of a request; waits for the device."""
        self._settle()
        none = [0] * len(self._rows)
        steered, forced = (none, none) if self._done is None else self._done.arrived()[0].tolist()
        return {
            row[0].id: _report(*row, *done)
            for row, done in zip(self._rows, zip(steered, forced, strict=True), strict=True)
        }


def _report(tracked: Tracked, step: int, answered: int, steered: int, forced: int) -> dict[str, Any]:
    outcome = tracked.outcome
    told: dict[str, Any] = {"fired": {}, "reply": None, "highest": None} if outcome is None else {**outcome.told}
    tracked.due += outcome is not None and outcome.fixes_after(step)
    return told | {
        "set": tracked.set_name,
        "decided": outcome is not None,
        "unreadable": tracked.unreadable,
        "tokens": step + 1,
        "required": 0 if outcome is None else answered * outcome.layers,
        "steered": steered,
        "due": tracked.due,
        "forced": forced,
    }
