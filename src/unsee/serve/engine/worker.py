"""What a server may ask of the engine's workers, by `collective_rpc`."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

from unsee.serve.engine.loaded import Loaded
from unsee.serve.engine.runners import steerer_of
from unsee.serve.engine.steerer import Steerer
from unsee.serve.errors import EngineError

Wanted = tuple[Mapping[str, str], Mapping[str, Sequence[str]]]


class SteeringWorker:
    """Mixed into vLLM's worker by `worker_extension_cls`; every method takes and returns plain values."""

    model_runner: Any

    def unsee_prepare(self, folders: Mapping[str, str], sets: Mapping[str, Sequence[str]]) -> None:
        """Begin to make what `unsee_load` will be asked to hold; steps go on meanwhile."""
        steerer, wanted = self._unsee(), (folders, sets)
        with_one = ThreadPoolExecutor(1, "unsee-prepare")
        self.unsee_pending = wanted, with_one.submit(_made, steerer, wanted)
        with_one.shutdown(wait=False)

    def unsee_prepared(self) -> bool:
        """Whether it is made, or cannot be."""
        return self._pending()[1].done()

    @torch.inference_mode()
    def unsee_load(
        self, folders: Mapping[str, str], sets: Mapping[str, Sequence[str]], mandated: str | None = None
    ) -> list[str]:
        """Hold exactly these erasers and sets from the next step on; at once, if they were prepared.

        Args:
            folders: of saved erasers, by content id; those that are loaded already are not read again.
            sets: content ids by the name of a set.
            mandated: set of requests that name none.

        Returns:
            Content ids held.
        """
        steerer, (wanted, made) = self._unsee(), self._pending()
        self.unsee_pending = None
        same = made.done() and wanted == (folders, sets)
        steerer.swap(made.result() if same else _made(steerer, (folders, sets)), mandated)
        return sorted(folders)

    def _pending(self) -> tuple[Wanted | None, Future[Loaded]]:
        return getattr(self, "unsee_pending", None) or (None, Future())

    def _unsee(self) -> Steerer:
        steerer = steerer_of(self.model_runner)
        if steerer is None:
            raise EngineError("the engine's model has no hooks, so it cannot steer. Start it with 'unsee serve'.")
        return steerer


@torch.inference_mode()
def _made(steerer: Steerer, wanted: Wanted) -> Loaded:
    from unsee.erase.eraser import Eraser

    folders, sets = wanted
    held = steerer.resident.erasers
    erasers = {i: held[i] if i in held else Eraser.from_pretrained(folder) for i, folder in folders.items()}
    made = steerer.prepared(erasers, sets)
    if torch.cuda.is_available():
        torch.cuda.current_stream().synchronize()
    return made
