"""A model with erasers in force, as lmms-eval asks it: what general skills are left, on that harness's own tasks.

Source: `lmms_eval.api.model.lmms` of github.com/EvolvingLMMs-Lab/lmms-eval, version 0.7.3.
"""

import io
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn, final

from lmms_eval.api.model import lmms  # pyright: ignore[reportMissingImports] (an optional extra)
from PIL import Image

from unsee.data.sample import ImageFile, Sample
from unsee.erase.eraser import Eraser
from unsee.erase.profile import require_same_model
from unsee.erase.steer.hooks import erased
from unsee.errors import DataError, OptionError
from unsee.models.generate import generate
from unsee.models.load import load

_GREEDY = {"do_sample": False}


@final
class Unsee(lmms):
    """Answers tasks that ask for text, each about one image or none.

    Attributes:
        loaded: the model.
        erasers: requests in force.
    """

    is_simple = True

    def __init__(
        self,
        pretrained: str,
        eraser: str = "",
        batch_size: int | str | None = 16,
        max_batch_size: int | str | None = None,
        device: str | None = None,
    ) -> None:
        """Load model and erasers.

        Args:
            pretrained: checkpoint folder, hub id, or `world:llava`.
            eraser: eraser folders, parted by ":".
            batch_size: prompts per forward pass.
            max_batch_size: not used.
            device: not used: the first CUDA device where there is one.

        Raises:
            OptionError: several processes were launched.
            MismatchError: an eraser was made for another model.
        """
        super().__init__()
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise OptionError("lmms-eval was launched with several processes; unsee's model takes one. Launch one.")
        del max_batch_size, device
        self.loaded = load(pretrained)
        self.erasers = [Eraser.from_pretrained(Path(path)) for path in eraser.split(":") if path]
        for one in self.erasers:
            require_same_model(one.model, self.loaded, "eraser")
        self._batch_size = int(batch_size or 1)

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """The reply to each request, cut where the task says; requests of equal settings are asked together.

        Raises:
            DataError: a question comes with several images, or with something that is none.
            SteeringError: steering did not happen as an eraser requires.
        """
        alike: dict[str, list[int]] = {}
        for place, request in enumerate(requests):
            alike.setdefault(repr(sorted(request.args[1].items())), []).append(place)
        answers = [""] * len(requests)
        for places in alike.values():
            settings = requests[places[0]].args[1]
            steered = (
                erased(self.loaded.model, *self.erasers, adapter=self.loaded.adapter) if self.erasers else nullcontext()
            )
            with steered:
                said = generate(
                    self.loaded,
                    [self._sample(requests[place]) for place in places],
                    self._batch_size,
                    int(settings.get("max_new_tokens", 128)),
                    **_drawn(settings),
                )
            until = settings.get("until") or []
            for place, answer in zip(places, said, strict=True):
                answers[place] = _cut(answer, [until] if isinstance(until, str) else until)
        return answers

    def loglikelihood(self, requests: Sequence[Any]) -> NoReturn:
        """Not offered: lmms-eval's tasks of this kind differ in what they hand over.

        Raises:
            OptionError: always.
        """
        del requests
        _only_text("loglikelihood")

    def generate_until_multi_round(self, requests: Sequence[Any]) -> NoReturn:
        """Not offered: a gate decides on one prompt.

        Raises:
            OptionError: always.
        """
        del requests
        _only_text("generate_until_multi_round")

    def _sample(self, request: Any) -> Sample:
        context, _, to_visual, number, task, split = request.args
        document = self.task_dict[task][split][number]
        return Sample(f"{task}/{split}/{number}", task, context, "", "", image=_image(to_visual, document, number))


def _image(to_visual: Callable[[Any], Any] | None, document: Any, number: object) -> ImageFile | None:
    shown = [] if to_visual is None else to_visual(document) or []
    if len(shown) > 1 or any(not isinstance(one, Image.Image) for one in shown):
        raise DataError(
            f"question {number} comes with {[type(one).__name__ for one in shown]}, expected one image or none: a "
            "gate is fitted on prompts of one image. Choose another task."
        )
    if not shown:
        return None
    buffer = io.BytesIO()
    shown[0].convert("RGB").save(buffer, format="PNG")
    return ImageFile(f"{number}", buffer.getvalue())


def _drawn(settings: dict[str, Any]) -> dict[str, Any]:
    """Greedy unless the task draws; a temperature of 0 is greedy too."""
    if not settings.get("do_sample") or not settings.get("temperature", 1):
        return _GREEDY
    return {name: settings[name] for name in ("do_sample", "temperature", "top_p") if settings.get(name) is not None}


def _cut(answer: str, until: Sequence[str]) -> str:
    for mark in until:
        answer = answer.split(mark)[0] if mark else answer
    return answer.strip()


def _only_text(kind: str) -> NoReturn:
    raise OptionError(f"the task asks for {kind}, expected generate_until. Choose a task that asks for text.")
