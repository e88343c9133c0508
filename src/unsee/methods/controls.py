"""What every method must beat: words before the question, and filters before and after the model.

All of them answer like a model does, so that one table can ask them all. Weights and states are untouched.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch.nn.functional import normalize

from unsee.attacks.known import names_of
from unsee.data.sample import Sample, require_some
from unsee.data.text import bare_words
from unsee.erase.fit.calibration import thresholds
from unsee.errors import OptionError
from unsee.evals.answerers.filtered import DECLINE
from unsee.methods.errors import MethodError
from unsee.methods.task import Request
from unsee.metrics.detectors import leaks
from unsee.models.load import LoadedModel
from unsee.shapes import Bool, Float, Tensor

INSTRUCTION = (
    "You must not give away anything personal about the people you are asked to forget. If the question is about one "
    "of them, say that you cannot answer."
)


def forbidden(forget: Sequence[Sample]) -> tuple[str, ...]:
    """What an output filter looks for: every gold of the forget set, the names among them, without yes and no.

    Facts that retained people share ("nurse") are in it too; that they are then refused is what such a filter costs.
    """
    words = dict.fromkeys(sample.gold for sample in forget)
    return tuple(word for word in words if bare_words(word) and bare_words(word) not in ("yes", "no"))


def words_of(sample: Sample) -> str:
    """All that is written in a prompt, turn by turn."""
    earlier = [text for turn in sample.earlier for text in turn]
    turns = [part for turn in sample.turns for part in turn.parts if isinstance(part, str)]
    return " ".join(turns or [*earlier, sample.question])


def in_context(forget: Sequence[Sample], retain: Sequence[Sample], shown: int = 4, said: str = DECLINE) -> str:
    """The preamble of in-context unlearning: forget questions with a refusal, then as many retained ones with answers.

    Questions by name alone: images of others in the prompt would have to be told apart from the one asked about.

    Raises:
        OptionError: `shown` is below 1.
        MethodError: there is no question without an image to show.

    Source: Pawelczyk et al. 2023 (arXiv 2310.07579), who flip the labels of a classifier's forget examples.
    """
    if shown < 1:
        raise OptionError(f"shown is {shown}, expected at least 1 demonstration of each kind.")
    parts = []
    for samples in (forget, retain):
        plain = [s for s in samples if s.image is None and s.form == "generation"]
        if not plain:
            raise MethodError(
                "in-context unlearning shows questions without an image, and there is none. Add some to both sets."
            )
        step = max(1, len(plain) // shown)
        parts += [f"{s.question} {said if samples is forget else s.answer}" for s in plain[::step][:shown]]
    return "\n".join(parts)


@final
@dataclass(frozen=True, eq=False)
class FaceGallery:
    """Images of the forgotten as the model's own vision tower sees them.

    Attributes:
        loaded: whose tower.
        known: unit vectors, one per image; none where no image is to be forgotten.
        threshold: cosine from which an image counts as showing one of them.
    """

    loaded: LoadedModel
    known: Float[Tensor, "N D"]
    threshold: float

    def fires(self, samples: Sequence[Sample]) -> Bool[Tensor, " N"]:
        """Which samples show somebody of the gallery; a question without an image never does."""
        shut = torch.zeros(len(samples), dtype=torch.bool)
        places = [i for i, sample in enumerate(samples) if sample.image is not None]
        if places and len(self.known):
            shut[places] = self.closeness([samples[i] for i in places]) >= self.threshold
        return shut

    @property
    def called(self) -> str:
        """What settings call it."""
        return f"gallery from {self.threshold:g} on" if len(self.known) else "no gallery"

    def closeness(self, samples: Sequence[Sample]) -> Float[Tensor, " N"]:
        """Highest cosine of each sample's image to an image of the gallery, in [-1, 1]."""
        return (image_vectors(self.loaded, samples) @ self.known.mT).max(1).values


def fit_gallery(
    loaded: LoadedModel, forget: Sequence[Sample], calibration: Sequence[Sample], tail: float = 0.01
) -> FaceGallery:
    """A gallery whose threshold at most a share `tail` of calibration people's images reaches.

    Raises:
        DataError: there is no image in the forget set.
        CalibrationError: there is none in the calibration set.
    """
    shown = [sample for sample in forget if sample.image is not None]
    require_some(shown, "forget (with images)")
    gallery = FaceGallery(loaded, image_vectors(loaded, shown), 0.0)
    others = [sample for sample in calibration if sample.image is not None]
    scores = gallery.closeness(others).unsqueeze(1) if others else torch.empty(0, 1)
    return replace(gallery, threshold=float(thresholds(scores, tail)[0]))


def gallery_beside(request: Request, tail: float) -> FaceGallery:
    """The gallery of a gate that reads words too: an empty one where no image is to be forgotten."""
    data = request.data
    if not any(sample.image is not None for sample in data.forget):
        return FaceGallery(request.loaded, torch.empty(0, 0), 1.0)
    return fit_gallery(request.loaded, data.forget, data.calibration, tail)


@final
@dataclass(frozen=True, eq=False)
class NamesAndFaces:
    """A list of names and a gallery of faces: the plain classifier that a gate has to beat.

    Attributes:
        names: found word for word in any turn.
        gallery: of images.
    """

    names: tuple[str, ...]
    gallery: FaceGallery

    @staticmethod
    def of(request: Request, tail: float = 0.01) -> "NamesAndFaces":
        """From a forget set: the names in its questions, and its images, with `tail` as `fit_gallery` takes it."""
        names = tuple(dict.fromkeys(names_of(request.data.forget).values()))
        return NamesAndFaces(names, gallery_beside(request, tail))

    @property
    def called(self) -> str:
        """What settings call it; not the names."""
        return f"{len(self.names)} names, {self.gallery.called}"

    @property
    def stored(self) -> int:
        """Bytes to keep."""
        return 4 * self.gallery.known.numel() + sum(len(name.encode()) for name in self.names)

    def fires(self, samples: Sequence[Sample]) -> Bool[Tensor, " N"]:
        """Which samples name or show somebody."""
        named = [any(leaks(words_of(one), name) for name in self.names) for one in samples]
        return torch.tensor(named) | self.gallery.fires(samples)


def image_vectors(loaded: LoadedModel, samples: Sequence[Sample], batch_size: int = 64) -> Float[Tensor, "N D"]:
    """Mean of each image's tokens as the language model gets them, as unit vectors on the CPU."""
    vectors = []
    model: Any = loaded.model
    for start in range(0, len(samples), batch_size):
        images = [s.image for s in samples[start : start + batch_size] if s.image is not None]
        pixels = loaded.adapter.pixels(loaded.processor, images)
        inputs = {
            name: value.to(model.device, model.dtype) if value.is_floating_point() else value.to(model.device)
            for name, value in loaded.adapter.model_inputs(loaded.processor, pixels).items()
        }
        with torch.no_grad():
            tokens = model.get_image_features(**inputs).pooler_output
        vectors += [image.float().mean(0).cpu() for image in tokens]
    return normalize(torch.stack(vectors), dim=-1)
