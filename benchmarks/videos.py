"""Forget by image and ask by video, and the reverse: one split of the built-in world on a tiny Qwen.

People are forgotten twice over, by two erasers that are fitted alike, thresholds and strength included: for one every
person is shown on images, for the other in videos. Both are asked the same held-out questions by held-out images
and by held-out videos (and, for the forgotten, by name). A checkpoint that was taught with images alone may know less
by video, and what its base model does not know cannot leak: every row stands beside the base model's.

Run from the repository root:

    python -m benchmarks.videos world:qwen2_5_vl --never-knew world:qwen2_5_vl-never-knew --markdown
    python -m benchmarks.videos FOLDER --seed 1 --json
"""

import time
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.common import Columns, Row, arguments, publish

from unsee.data.sample import Sample
from unsee.data.task import Role, Set, Task
from unsee.erase.config import Settings
from unsee.erase.eraser import Eraser
from unsee.errors import OptionError
from unsee.evals.answerers import Local
from unsee.evals.asking import asked as ask
from unsee.evals.plan import Plan
from unsee.evals.stats import summarise
from unsee.evals.store import Record
from unsee.experiments.trial import Data, fit_requests, fit_world_profile, gather, some
from unsee.models.load import LoadedModel, load
from unsee.world.generate import World
from unsee.world.splits import Exam
from unsee.world.videos import by_video, visible

COLUMNS: Columns = {
    "asked": lambda row: row["split"],
    "condition": lambda row: row["condition"],
    "n": lambda row: str(row["n"]),
    "right": lambda row: _percent(row, "accuracy"),
    "refused": lambda row: _percent(row, "refusal"),
    "leaked": lambda row: _percent(row, "leak"),
}


def _percent(row: Row, name: str) -> str:
    value, interval = row[name], row["ci95"].get(name)
    if value is None:
        return "-"
    spread = "" if interval is None else f" [{100 * interval[0]:.0f}, {100 * interval[1]:.0f}]"
    return f"{100 * value:.1f}{spread}"


def taking_videos(loaded: LoadedModel) -> LoadedModel:
    """The same model.

    Raises:
        OptionError: its family takes no videos.
    """
    if loaded.adapter.video_token(loaded.processor) is None:
        raise OptionError(f"{loaded.name!r} of family {loaded.adapter.family!r} takes no videos: choose a Qwen.")
    return loaded


def moving(world: World, data: Data) -> Data:
    """The same fit with a video wherever a person is shown on an image."""
    forget, keep = data.requests["people"]
    return replace(
        data,
        retain=by_video(world, data.retain, taught=True),
        calibration=by_video(world, data.calibration, taught=True),
        others=by_video(world, data.others, taught=True),
        requests={"people": (by_video(world, forget, taught=True), by_video(world, keep, taught=True))},
    )


def splits(exam: Exam, data: Data, limit: int) -> dict[str, list[Sample]]:
    """Held-out questions, the same ones by image and by video."""
    forgotten = data.splits["forget_heldout"]
    shown, named = [s for s in forgotten if s.image], [s for s in forgotten if not s.image]
    unseen = some(exam.facts(exam.retain_unseen, taught=False, modes=("image",)), limit)
    shown = some(shown, limit)
    return {
        "forget_image": shown,
        "forget_video": by_video(exam.world, shown, taught=False),
        "forget_name": some(named, limit),
        "unseen_image": unseen,
        "unseen_video": by_video(exam.world, unseen, taught=False),
        "visible_image": some(data.splits["visible"], limit),
        "visible_video": some(visible(exam.world, exam.forget, taught=False), limit),
    }


def fitted(loaded: LoadedModel, exam: Exam, data: Data, seed: int) -> Eraser:
    """The people's request, with a profile from the same kind of prompts; in the short form of the demo."""
    quick = Settings(pgd_images=8, strengths=(1.0, 2.0, 3.0))
    profile = fit_world_profile(loaded, exam, data, quick, seed)
    people = replace(data, requests={"people": data.requests["people"]})
    return fit_requests(loaded, profile, people)["people"]


def main(argv: Sequence[str] | None = None) -> list[Row]:
    parser = arguments(__doc__)
    parser.add_argument("model", help="a tiny Qwen that knows the world of seed 0")
    parser.add_argument("--never-knew", help="the checkpoint that never met the forgotten; for split seed 0")
    parser.add_argument("--seed", type=int, default=0, help="who is forgotten")
    parser.add_argument("--limit", type=int, default=200, help="questions of each row at most")
    parser.add_argument("--people", type=int, default=200, help="private people of the world; fewer for a smoke run")
    options = parser.parse_args(argv)
    loaded = taking_videos(load(options.model))
    exam = Exam(World(private=options.people), options.seed)
    data = gather(exam, talk=0.0, wordings=1)
    asked = splits(exam, data, options.limit)
    seconds: dict[str, float] = {}
    conditions: dict[str, tuple[LoadedModel, list[Eraser]]] = {"base": (loaded, [])}
    for name, shown in (("forgotten by picture", data), ("forgotten by clip", moving(exam.world, data))):
        start = time.process_time()
        conditions[name] = loaded, [fitted(loaded, exam, shown, options.seed)]
        seconds[name] = round(time.process_time() - start, 1)
    if options.never_knew:
        conditions["never knew"] = taking_videos(load(options.never_knew)), []
    of: tuple[tuple[str, Role], ...] = (("forget", "forget"), ("unseen", "retain"), ("visible", "visible"))
    task = Task("videos", {n: Set.of(role, asked[n]) for kind, role in of for n in asked if n.startswith(kind)})
    records: list[Record] = []
    for name, (model, erasers) in conditions.items():
        records += ask(Local(model, erasers), Plan(task, max_new_tokens=24), name)
    order = list(conditions)
    rows: list[Row] = [dict(row) for row in summarise(records)]
    rows.sort(key=lambda row: (list(asked).index(row["split"]), order.index(row["condition"])))
    print(f"CPU seconds of the fits: {seconds}")
    publish("clips", options, {"Percent [95 % interval over people]": (rows, COLUMNS)})
    return rows


if __name__ == "__main__":
    main()
