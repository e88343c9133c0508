"""What a request's prompts looked like to the gates: kept by the operator, so that it can be fitted again without them.

These are activations of a person's prompts: personal data like the profile, and kept where that is. The eraser that is
served holds none of them.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import safetensors.torch
import torch

from unsee.data.sample import Sample, require_some, subjects
from unsee.erase.config import Settings
from unsee.erase.eraser import Eraser
from unsee.erase.eraser_set import Stacked, false_fires
from unsee.erase.fit.activations import capture_features
from unsee.erase.fit.joint import Share, Stack
from unsee.erase.fit.moments import Moments
from unsee.erase.gates.base import require_kind
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.profile import Profile, require_same_model
from unsee.erase.strict_safetensors import octets_of, read_tensors
from unsee.errors import DataError, MismatchError, SaveError
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent
from unsee.shapes import Bool, Float, Int, Tensor

KEEP = -1


@final
@dataclass(frozen=True, eq=False)
class RequestStates:
    """Features of one request's prompts, and which prompts of the profile are about its subjects.

    Attributes:
        features: of its prompts, half precision.
        role: per prompt, the number of the subject it is to forget, from 0; or `KEEP`, for what is still answered.
        retained: which retained prompts of the profile are about its subjects.
        calibrated: which calibration prompts of the profile are.
        profile: fingerprint of the profile that these are rows of.
    """

    features: Float[Tensor, "N R 2 D"]
    role: Int[Tensor, " N"]
    retained: Bool[Tensor, " _"]
    calibrated: Bool[Tensor, " M"]
    profile: Tensor

    def share(self, profile: Profile) -> Share:
        """What it brings to a joint fit beside this profile, which must be its own."""
        flat = self.features.flatten(1)
        forget = tuple(Moments.of(flat[self.role == k]) for k in range(int(self.role.max()) + 1))
        return Share(forget, Moments.of(flat[self.role == KEEP]), Moments.of(profile.retain[self.retained].flatten(1)))

    def save(self, path: Path) -> None:
        """Write one safetensors file.

        Raises:
            SaveError: it cannot be written.
        """
        tensors = {name: value.contiguous() for name, value in vars(self).items()}
        try:
            path.write_bytes(safetensors.torch.save(tensors))
        except OSError as error:
            raise SaveError(f"cannot write {path}: {error.strerror or error}. Choose another place.") from error

    @staticmethod
    def load(path: Path) -> "RequestStates":
        """Read what `save` wrote.

        Raises:
            ArtifactError: it is not exactly that.
        """
        specs = {
            "features": (torch.float16, ("N", "R", 2, "D")),
            "role": (torch.int64, ("N",)),
            "retained": (torch.bool, ("kept",)),
            "calibrated": (torch.bool, ("M",)),
            "profile": (torch.uint8, (32,)),
        }
        return RequestStates(**read_tensors(path, specs, {}))


def capture_request(
    loaded: LoadedModel,
    profile: Profile,
    forget: Sequence[Sample],
    *,
    keep: Sequence[Sample] = (),
    kept: Sequence[Sample] = (),
    calibration: Sequence[Sample] = (),
    settings: Settings | None = None,
    stages: Stages = silent,
) -> RequestStates:
    """Ask the model how it sees a request's prompts; the one step of a joint fit that needs it.

    Args:
        loaded: the model that the profile was made on.
        profile: of that model.
        forget: questions about the subjects to forget.
        keep: prompts about them that must still be answered.
        kept: the samples that the profile was told to keep, in its order, if subjects of the request are among them.
        calibration: its calibration samples, likewise.
        settings: batch size; the profile's if None.
        stages: progress display.

    Raises:
        DataError: no forget prompt, or not as many samples as the profile has rows.
        MismatchError: the profile is another model's.
    """
    settings = settings or Settings.from_json(profile.settings)
    require_some(forget, "forget")
    require_same_model(profile.model, loaded, "profile")
    ids = subjects(forget)
    asked = [*forget, *keep]
    features = capture_features(
        loaded, asked, profile.read, settings.batch_size, progress=stages("prompts of the request", len(asked))
    )
    role = [ids.index(sample.subject) for sample in forget] + [KEEP] * len(keep)
    return RequestStates(
        features.half(),
        torch.tensor(role),
        _rows_about(ids, kept, len(profile.retain_last), "kept"),
        _rows_about(ids, calibration, len(profile.calibration), "calibration"),
        fingerprint(profile),
    )


def fit_stack(profile: Profile, requests: Mapping[str, RequestStates], settings: Settings | None = None) -> Stacked:
    """Fit all requests again from what is stored, with one threshold for all: no model, and no prompt, is needed.

    As `fit_eraser` does, gates are fitted on all retained people, and the threshold comes from scores that each half of
    these gets from gates fitted on the other. Who is in force is nobody's retained person, in no fit and no threshold.
    The result depends on the set of requests alone: taking one back gives, bit for bit, the fit without it.

    Raises:
        DataError: there is no request, or nothing is left to keep.
        MismatchError: a request's states belong to another profile.
        CalibrationError: the system is singular, or no retained person is left.
    """
    settings = settings or Settings.from_json(profile.settings)
    if not requests:
        raise DataError("there is no request to fit, expected the stored states of at least one")
    mark, names = fingerprint(profile), sorted(requests)
    for name in names:
        if not torch.equal(requests[name].profile, mark):
            raise MismatchError(
                f"the states of request {name} belong to another profile, so its retained prompts cannot be told apart "
                "from the others. Capture them again beside this profile."
            )
    gone = torch.stack([requests[name].retained for name in names]).any(0)[: len(profile.retain_people)]
    left_out = torch.stack([requests[name].calibrated for name in names]).any(0)
    people = (profile.retain_people[~gone].flatten(1), profile.calibration[~left_out].flatten(1))
    others = Moments.of(profile.retain_others.flatten(1))
    halves = [Moments.of(half) for half in people]
    every = halves[0] + halves[1] + others
    weights, biases, unseen, owners = list[Tensor](), list[Tensor](), list[Tensor](), list[str]()
    for name in names:
        share = requests[name].share(profile)  # one at a time: a share is large
        for forget in share.forget:
            mine = {name: Share((forget,), share.keep, Moments.empty(every.total.shape[-1]))}
            weight, bias = Stack.of(every, mine).gates(settings.ridge)
            scores = []
            for seen, half in zip(halves, reversed(people), strict=True):
                towards, offset = Stack.of(seen + others, mine).gates(settings.ridge)
                scores.append(half.double() @ towards.mT + offset)
            weights, biases, owners = [*weights, weight], [*biases, bias], [*owners, name]
            unseen.append(torch.cat(scores))
    return stacked(profile, torch.cat(weights), torch.cat(biases), owners, torch.cat(unseen, dim=1), settings)


def stacked(
    profile: Profile,
    weight: Float[Tensor, "K _"],
    bias: Float[Tensor, " K"],
    owners: Sequence[str],
    unseen: Float[Tensor, "P K"],
    settings: Settings,
) -> Stacked:
    """Gates that were fitted from stored states as one eraser, with one threshold from prompts that they have not seen.

    It is a request like any other, of however many subjects: beside others its threshold is theirs too (`together`).

    Raises:
        CalibrationError: there is no such prompt.
    """
    lowest, layers = torch.full((len(owners),), settings.floor), profile.written
    weight = weight.view(-1, *profile.calibration.shape[1:])
    eraser = Eraser(
        model=profile.model,
        family=profile.family,
        layers=layers,
        gate=PromptRidgeGate(profile.read, weight.float(), bias.float(), lowest),
        trajectory=profile.trajectory[[profile.layers.index(layer) for layer in layers]],
        strength=profile.strength,
        method="stacked-ridge",
        settings=settings.as_json(),
        subjects=tuple(f"{name}/{owners[:place].count(name)}" for place, name in enumerate(owners)),
        counts={"requests": len(set(owners)), "subjects": len(owners), "unseen": len(unseen)},
    )
    fitted = Stacked(eraser, tuple(owners)).recalibrated(unseen, settings.tail)
    gate = require_kind(fitted.eraser.gate, PromptRidgeGate)
    kept = fitted.eraser.settings | false_fires({"prompt": unseen}, gate.threshold, fingerprint(profile))
    return replace(fitted, eraser=replace(fitted.eraser, settings=kept))


def fingerprint(profile: Profile) -> Tensor:
    """SHA-256 over the profile's kept and calibration states, as 32 bytes: tells whose rows are meant."""
    digest = hashlib.sha256()
    for tensor in (profile.retain_last, profile.retain_mean, profile.calibration):
        digest.update(octets_of(tensor))
    return torch.tensor(list(digest.digest()), dtype=torch.uint8)


def _rows_about(ids: Sequence[str], samples: Sequence[Sample], rows: int, what: str) -> Bool[Tensor, " _"]:
    if len(samples) > rows:
        raise DataError(
            f"got {len(samples)} {what} samples, but the profile has {rows} such rows. Give those that it was made "
            "with, in the same order."
        )
    about = torch.zeros(rows, dtype=torch.bool)
    about[: len(samples)] = torch.tensor([sample.subject in ids for sample in samples], dtype=torch.bool)
    return about
