"""CLEAR as MMUnlearner asks it: names by multiple choice. Data, licence and schema are `clear`'s."""

from dataclasses import replace
from pathlib import Path

from unsee.data.benchmarks.clear import CARD, Asked, clear_task, read_clear
from unsee.data.benchmarks.items import Protocol
from unsee.data.task import Role, Set, Task, Use
from unsee.registry import benchmark


@benchmark(
    "clear-choice",
    style="clear-choice",
    ratios=(1, 5, 10),
    measures=("accuracy-mmunlearner-first-alphanumeric", "rouge1-recall", "rougeL-recall"),
    read=lambda source, split, _: read_clear(source, split, ["choice"]),
    card=CARD,
)
def clear_choice_task(source: Path | str, protocol: Protocol, ratio: int = 5, seed: int = 0) -> Task:
    """CLEAR as MMUnlearner asks it: names by multiple choice beside captions and TOFU's questions.

    Official: `forget` and `retain` by choice, `forget_generation` and `retain_generation` (the `+tofu` configs),
    `real_faces` and `real_world` by choice. The release reads a `retainNN_perturbed` that is not on the hub;
    retain_perturbed stands for it.
    Honest: as `clear_task`, asked by choice alone.
    """
    if protocol == "honest":
        every = clear_task(source, "honest", ratio, seed)
        chosen = {n: [i for i in s.items if i.sample.form == "classification"] for n, s in every.sets.items()}
        for name, config in (("celebrity", "real_faces"), ("knowledge", "real_world")):
            chosen[name] = read_clear(source, config, ["choice"], seed)
        kept = {name: replace(one, items=chosen[name] or one.items) for name, one in every.sets.items()}
        return Task("clear-choice", kept, protocol, every.left_out)
    sources: dict[str, tuple[Role, Use, str, tuple[Asked, ...]]] = {
        "forget": ("forget", "fit", f"forget{ratio:02d}_perturbed", ("choice",)),
        "forget_generation": ("forget", "fit", f"forget{ratio:02d}+tofu", ("caption", "question")),
        "retain": ("retain", "test", "retain_perturbed", ("choice",)),
        "retain_generation": ("retain", "fit", f"retain{100 - ratio}+tofu", ("caption", "question")),
        "real_faces": ("general", "test", "real_faces", ("choice",)),
        "real_world": ("general", "test", "real_world", ("choice",)),
    }
    named = {
        name: Set(role, read_clear(source, config, parts, seed), use)
        for name, (role, use, config, parts) in sources.items()
    }
    return Task("clear-choice", named, protocol)
