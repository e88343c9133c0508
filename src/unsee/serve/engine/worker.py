"""What a server may ask of the engine's workers, by `collective_rpc`."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from unsee.serve.engine.runners import steerer_of
from unsee.serve.engine.steerer import Steerer
from unsee.serve.errors import EngineError


class SteeringWorker:
    """Mixed into vLLM's worker by `worker_extension_cls`; every method takes and returns plain values."""

    model_runner: Any

    @torch.inference_mode()
    def unsee_load(
        self, folders: Mapping[str, str], sets: Mapping[str, Sequence[str]], mandated: str | None = None
    ) -> list[str]:
        """Hold exactly these erasers and sets from the next step on.

        Args:
            folders: of saved erasers, by content id; those that are loaded already are not read again.
            sets: content ids by the name of a set.
            mandated: set of requests that name none.

        Returns:
            Content ids held.
        """
        from unsee.erase.eraser import Eraser

        steerer = self._unsee()
        held = steerer.resident.erasers
        erasers = {i: held[i] if i in held else Eraser.from_pretrained(folder) for i, folder in folders.items()}
        steerer.load(erasers, sets, mandated)
        return sorted(erasers)

    def _unsee(self) -> Steerer:
        steerer = steerer_of(self.model_runner)
        if steerer is None:
            raise EngineError("the engine's model has no hooks, so it cannot steer. Start it with 'unsee serve'.")
        return steerer
