"""`unsee capacity`: how many requests one model holds at once, by the very checks that let each of them in.

The first N requests are in force together and are asked about as `unsee ledger verify` asks about one: held-out forms,
and what must still be answered. A finished fit and a finished size stay in the folder; the same command goes on there.
"""

import hashlib
import json
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from unsee.data.sample import Sample
from unsee.erase.artifact import library_versions
from unsee.erase.artifact_files import replace_file
from unsee.erase.eraser import Eraser
from unsee.erase.eraser_set import together
from unsee.erase.profile import Profile
from unsee.erase.request.expansion import expand
from unsee.erase.request.knowledge import Knowledge
from unsee.erase.request.request import Request
from unsee.errors import CalibrationError, OptionError
from unsee.forgetting.before import Before
from unsee.forgetting.fitting import request_profile
from unsee.forgetting.run import forget
from unsee.ledger.asking import Asker, Question, held_out, near_by
from unsee.ledger.policy import Thresholds
from unsee.ledger.verification import Verification
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent
from unsee.world.generate import World
from unsee.world.splits import FIT_VIEWS, Exam, image

SIZES = (1, 5, 10, 25, 50, 100)
ASKED, NEAR, CHECKED = 240, 80, 10
"""Questions about the forgotten, of each group that must be answered, and requests whose neighbours are asked about."""


@final
@dataclass(frozen=True)
class Trial:
    """What is tried.

    Attributes:
        requests: in the order in which they come into force.
        retained: people who must be answered about, whatever is in force.
        limits: that every size must meet.
        seed: of every draw.
    """

    requests: Sequence[Request]
    retained: Sequence[Request]
    limits: Thresholds
    seed: int = 0

    def settings(self, digest: str) -> dict[str, Any]:
        """What decides the figures, with the model's digest; people by a digest of their names and images."""
        people = hashlib.sha256(repr([[(r.names, [i.encoded for i in r.images]) for r in some]
                                      for some in (self.requests, self.retained)]).encode()).hexdigest()  # fmt: skip
        return {"model_digest": digest, "people": people, "limits": self.limits.as_json(),
                "seed": self.seed, "unsee": library_versions()["unsee"]}  # fmt: skip


@final
@dataclass(frozen=True)
class Fitted:
    """A request, its eraser, and what the model said of it before."""

    request: Request
    eraser: Eraser
    before: Before


def of_world(seed: int = 0, retained: int = 30) -> tuple[list[Request], list[Request]]:
    """Private people of the built-in world by name and one image, and others who stay known."""
    world = Exam(World(0)).world
    drawn = random.Random(f"capacity/{seed}").sample(world.of("private"), len(world.of("private")))
    every = [Request(one.name, images=(image(world, one, FIT_VIEWS[0]),)) for one in drawn]
    return every[:-retained], every[-retained:]


def run(
    loaded: LoadedModel, trial: Trial, sizes: Sequence[int], out: Path, *, profile: Profile | None = None,
    stages: Stages = silent,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """A row a size, smallest first, each when it is done; what the folder has is not done again.

    Raises:
        OptionError: the folder holds a run with other settings.
        CalibrationError: a request cannot be fitted; says which.
    """
    settings, kept = trial.settings(loaded.digest), out / "settings.json"
    if kept.is_file() and json.loads(kept.read_bytes()) != settings:
        raise OptionError(f"{out} holds a run with other people, limits, model or code. Name another --out.")
    replace_file(kept, json.dumps(settings).encode())
    fitted, tell = list[Fitted](), stages("requests fitted", max(sizes))
    for size in sorted(set(sizes)):
        done = out / "sizes" / f"{size:04d}.json"
        while len(fitted) < size and not done.is_file():
            profile = profile or request_profile(loaded, seed=trial.seed, stages=stages)
            fitted.append(_fitted(loaded, trial, len(fitted), out, profile))
            tell(1)
        if not done.is_file():
            found = _asked(loaded, trial, fitted, stages)
            replace_file(done, json.dumps({"requests": size, **found.as_json()}).encode())
        yield json.loads(done.read_bytes())


def certified(rows: Sequence[Mapping[str, Any]]) -> int:
    """The largest size up to which every size met every limit; 0 for none."""
    most = 0
    for row in rows:
        if any(finding["verdict"] == "fail" for finding in row["findings"]):
            break
        most = row["requests"]
    return most


def _fitted(loaded: LoadedModel, trial: Trial, number: int, out: Path, profile: Profile) -> Fitted:
    """The request of that number as `unsee forget` fits it; its folder is whole once the report is there."""
    request, folder = trial.requests[number], out / "requests" / f"{number:04d}"
    if not (folder / "report.json").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        try:
            forget(loaded, request, folder, profile=profile, force=True, seed=trial.seed)
        except CalibrationError as error:
            raise CalibrationError(f"request {number + 1} cannot be fitted: {error} Or leave it out.") from error
    said = json.loads((folder / "request.json").read_bytes())
    counted, depends = (tuple(said[key]) for key in ("recurring_facts_of_invented_names", "depends_on_invented_names"))
    ways = [
        Knowledge(
            {k: tuple(v) for k, v in said[f"facts_by_{way}"].items()}, 0.0, counted, said["depends_on_name"], depends
        )
        for way in ("name", "image")
    ]
    before = Before((), (), ways[0], ways[1] if request.images else None)
    return Fitted(request, Eraser.from_pretrained(folder / "eraser"), before)


def _asked(loaded: LoadedModel, trial: Trial, fitted: Sequence[Fitted], stages: Stages) -> Verification:
    """All of them in force together, judged as one request is."""
    rng, each = random.Random(f"capacity/{trial.seed}/{len(fitted)}"), -(-ASKED // len(fitted))
    questions, groups = list[Question](), dict[str, list[Sample]]()
    for number, one in enumerate(fitted):
        prompts = held_out(one.request, f"r{number}", one.before, least=each, seed=trial.seed)
        questions += [Question.of(prompt, one.before) for prompt in rng.sample(prompts, min(each, len(prompts)))]
    for one in rng.sample(fitted, min(CHECKED, len(fitted))):
        for group, samples in near_by(one.request, trial.seed).items():
            groups.setdefault(group, []).extend(samples)
    groups = {group: rng.sample(samples, min(NEAR, len(samples))) for group, samples in groups.items()}
    others = [prompt.sample for number, one in enumerate(trial.retained)
              for prompt in expand(one, f"k{number}", held=True, each=1, seed=trial.seed)]  # fmt: skip
    groups["retained people"] = rng.sample(others, min(4 * NEAR, len(others)))
    label, erasers = f"{len(fitted)} in force", together([one.eraser for one in fitted])
    asker = Asker(loaded, erasers, trial.limits, seed=trial.seed)
    tell = stages(label, 2)
    findings = [*asker.about(questions)]
    tell(1)
    findings += asker.still(groups)
    tell(1)
    return Verification(content_id=label, findings=tuple(findings), policy=trial.limits.digest, beside=len(fitted) - 1)
