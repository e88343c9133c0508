"""What is learnt once per model: how refusing differs from answering, and what retained prompts look like.

A profile holds no name, no image and no text of the data; it is large where an eraser is small, and stays with the
operator. Erasure requests are fitted against it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, final

import torch

from unsee.data.sample import Sample, subjects
from unsee.erase.artifact import Config, TensorSpec, load_artifact, push_artifact, save_artifact
from unsee.erase.fit.background import Background
from unsee.erase.fit.findings import Finding, findings_html, findings_markdown
from unsee.erase.gates.scope import Scope
from unsee.erase.kept_subjects import KeptSubjects
from unsee.errors import ArtifactError, DataError, MismatchError
from unsee.models.load import LoadedModel
from unsee.shapes import Float, Tensor


@final
@dataclass(frozen=True, eq=False)
class Profile:
    """One model's erasure direction, refusal trajectory and kept activations.

    Attributes:
        model: id, revision and weights digest of the checkpoint.
        family: as the adapters name it.
        layers: decoder blocks that the tensors speak of: all but the first.
        read: blocks that a gate reads, some of `layers`.
        trajectory: refusal minus recall at the input of each block; step 0 is the erasure direction.
        retain_last: retained prompts of the fit, last prompt token, half precision: samples, while N < D, are less than
            second moments and exact.
        retain_mean: the same prompts, mean over the prompt, at the blocks read.
        calibration: features of calibration prompts, never used in a fit.
        strength: lambda, calibrated.
        settings: of the fit, all of them; `kept` are keyed pseudonyms of whom it kept (`KeptSubjects`).
        counts: samples by role.
        report: the diagnosis, one finding per step.
        curves: what was measured on the way: PGD history, strengths tried.
        background: token states of prompts on which no subject's gate may fire; None in a profile without.
        scope: what a turn has to be about where a subject is there; None for anything.
    """

    model: dict[str, Any]
    family: str
    layers: tuple[int, ...]
    read: tuple[int, ...]
    trajectory: Float[Tensor, "L S D"]
    retain_last: Float[Tensor, "N L D"]
    retain_mean: Float[Tensor, "N R D"]
    calibration: Float[Tensor, "M R 2 D"]
    strength: float
    settings: dict[str, Any]
    counts: dict[str, int]
    report: list[Finding] = field(default_factory=list)
    curves: dict[str, Any] = field(default_factory=dict)
    background: Background | None = None
    scope: Scope | None = None

    def __repr__(self) -> str:
        samples = ", ".join(f"{name} {count}" for name, count in self.counts.items())
        return f"Profile({self.model.get('id')!r}: family {self.family}, reads layers {list(self.read)}, {samples})"

    def _repr_html_(self) -> str:
        return findings_html(repr(self), self.report)

    @property
    def written(self) -> tuple[int, ...]:
        """Blocks that a held gate steers: from the last one read to the end, so that one pass decides and acts."""
        return tuple(layer for layer in self.layers if layer >= self.read[-1])

    def require_background(self) -> Background:
        """The states on which no subject's gate may fire, and with them which blocks gates read.

        Raises:
            DataError: the profile was made without.
        """
        if self.background is None:
            raise DataError(
                "the profile has no background of prompts on which no gate may fire. Make the profile again."
            )
        return self.background

    def require_unknown(self, forget: Sequence[Sample]) -> None:
        """Refuse to forget a subject that the profile was told to keep.

        Raises:
            DataError: names the subjects.
            ArtifactError: the profile holds them unkeyed, as older versions wrote it.
        """
        if "kept" not in self.settings:
            return
        kept = KeptSubjects.from_json(self.settings["kept"])
        both = [subject for subject in subjects(forget) if subject in kept]
        if both:
            raise DataError(
                f"{len(both)} subject(s) of the forget set are among the kept or calibration subjects of the profile: "
                f"{', '.join(both[:5])}. A subject is either forgotten or kept; make the profile without them."
            )

    @property
    def retain(self) -> Float[Tensor, "N R 2 D"]:
        """Features that gates read, of the retained prompts of the fit."""
        places = [self.layers.index(layer) for layer in self.read]
        return torch.stack([self.retain_last[:, places], self.retain_mean], dim=2)

    @property
    def retain_people(self) -> Float[Tensor, "_ R 2 D"]:
        """`retain` without what is about nobody."""
        return self.retain[: len(self.retain_last) - self.counts.get("others", 0)]

    @property
    def retain_others(self) -> Float[Tensor, "_ R 2 D"]:
        """Of `retain`, the prompts on which no gate may open, about nobody in particular."""
        return self.retain[len(self.retain_last) - self.counts.get("others", 0) :]

    def save_pretrained(self, directory: str | Path) -> str:
        """Save; returns the content id.

        Raises:
            SaveError: the files could not be written; what was there is intact.
        """
        return save_artifact(directory, "profile", self._config(), self._tensors(), self.card())

    @staticmethod
    def from_pretrained(directory: str | Path) -> "Profile":
        """Load from a folder or a hub id (`owner/name`), refusing anything that is not exactly what was saved.

        Raises:
            ArtifactError: names the file and field at fault.
        """
        artifact = load_artifact(directory, "profile", _specs)
        config, settings = artifact.config, cast("dict[str, Any]", dict(artifact.config.settings))
        missing = sorted({"read_layers", "strength", "report", "curves", "background"} - settings.keys())
        if missing:
            raise ArtifactError(f"{directory}: the config lacks the settings {missing}. Make it again.")
        about: Any = settings.pop("background")
        tensors = {name: tensor for name, tensor in artifact.tensors.items() if "." not in name}
        background = (
            Background.of(about["layers"], about["groups"], _under("background.", artifact.tensors)) if about else None
        )
        scope = Scope(**_under("scope.", artifact.tensors)) if settings.pop("scoped", False) else None
        return Profile(
            model=config.base_model.as_json(),
            family=config.family,
            layers=tuple(config.layers),
            read=tuple(settings.pop("read_layers")),
            strength=settings.pop("strength"),
            report=settings.pop("report"),
            curves=settings.pop("curves"),
            settings=settings,
            counts=dict(config.counts),
            background=background,
            scope=scope,
            **tensors,
        )

    def push_to_hub(self, repository: str, *, private: bool = True) -> str:
        """Upload to a hub repository (`owner/name`); a profile is personal data, so private unless told otherwise.

        Raises:
            ArtifactError: the hub refuses.
        """
        return push_artifact(self.save_pretrained, "profile", repository, private)

    def card(self) -> str:
        """A page for people."""
        return (
            f"# unsee profile of {self.model['id']}\n\nMade by unsee from activations of retained prompts. Personal "
            f"data: keep it where the data is.\n\n{findings_markdown(self.report)}\n"
        )

    def _config(self) -> dict[str, Any]:
        back = self.background
        held = {"read_layers": list(self.read), "strength": self.strength, "report": self.report, "curves": self.curves}
        held |= {
            "background": None
            if back is None
            else {"layers": list(back.layers), "groups": list(back.groups), "images": bool(len(back.states.images))},
            "scoped": self.scope is not None,
        }
        return {
            "base_model": self.model,
            "family": self.family,
            "layers": list(self.layers),
            "hidden_size": self.trajectory.shape[-1],
            "method": "profile",
            "settings": self.settings | held,
            "counts": self.counts,
        }

    def _tensors(self) -> dict[str, Tensor]:
        background = {} if self.background is None else self.background.tensors()
        scope = {} if self.scope is None else vars(self.scope)
        return {
            "trajectory": self.trajectory.half(),
            "retain_last": self.retain_last.half(),
            "retain_mean": self.retain_mean.half(),
            "calibration": self.calibration.half(),
            **{"background." + name: tensor for name, tensor in background.items()},
            **{"scope." + name: tensor for name, tensor in scope.items()},
        }


def _specs(config: Config) -> Mapping[str, TensorSpec]:
    """Every tensor of a profile with such a background and scope."""
    half, full, whole = torch.float16, torch.float32, torch.int64
    specs: dict[str, TensorSpec] = {
        "trajectory": (half, ("L", "S", "D")),
        "retain_last": (half, ("N", "L", "D")),
        "retain_mean": (half, ("N", "R", "D")),
        "calibration": (half, ("M", "R", 2, "D")),
    }
    match config.settings.get("background"):
        case {"images": bool(images)}:
            specs |= {
                "background.text": (half, ("T", "B", "D")),
                "background.prompt": (whole, ("T",)),
                "background.group": (whole, ("P",)),
                "background.half": (torch.bool, ("P",)),
                "background.words": (whole, (2, "W")),
            }
            if images:
                specs |= {"background.images": (half, ("I", "B", "D"))}
                specs |= {f"background.{name}": (whole, ("I",)) for name in ("shown", "subject")}
        case _:
            pass
    if config.settings.get("scoped"):
        specs |= {"scope.weight": (full, (1, 4, "B", "D"))} | {
            "scope." + one: (full, (1, 4)) for one in ("token", "bias")
        }
    return specs


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def identity(loaded: LoadedModel) -> dict[str, Any]:
    """How artifacts name the model they were made on; a local path is reduced to its last part."""
    local = Path(loaded.name)
    return {"id": local.name if local.exists() else loaded.name, "revision": loaded.revision, "digest": loaded.digest}


def require_same_model(made_for: Mapping[str, Any], loaded: LoadedModel, what: str) -> None:
    """Refuse an artifact that was made on other weights.

    Raises:
        MismatchError: names both models.
    """
    here = identity(loaded)
    if made_for["digest"] != here["digest"]:
        raise MismatchError(
            f"the {what} was made for {made_for['id']!r} (weights {made_for['digest'][:19]}...), but the model is "
            f"{here['id']!r} (weights {here['digest'][:19]}...). Activations of one model mean nothing in another: "
            f"make the {what} again for this model."
        )
