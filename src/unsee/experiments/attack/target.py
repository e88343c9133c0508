"""What is attacked: questions about what is to be forgotten, what is known besides, and what the model takes."""

from collections.abc import Sequence
from dataclasses import replace

from unsee.data.benchmarks.items import Item
from unsee.data.sample import Sample, spread
from unsee.data.task import Set, Task
from unsee.errors import OptionError
from unsee.models.names import located

NEVER_KNEW = "never_knew"
"""Name of the condition that guessing is read off."""


def takes_images(model: str, vision: str | None = None) -> bool:
    """Whether a checkpoint's configuration has a vision tower; read without its weights.

    Args:
        model: as for `unsee.models.load.load`.
        vision: path of the tower of a model without adapter, as the user names it.

    Raises:
        ModelError: there is no such model.
    """
    if vision:
        return True
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(located(model))
    except (OSError, ValueError):
        return True  # `load` says better what is wrong with it
    return getattr(config, "vision_config", None) is not None


def attacked_task(task: Task, sets: Sequence[str], limit: int | None, *, images: bool = True) -> Task:
    """The sets to be forgotten that no fit has seen, or those that are named; open questions where there are any.

    Args:
        task: all of it.
        sets: names.
        limit: at most so many questions a set, evenly spaced.
        images: whether questions about images can be put.

    Raises:
        OptionError: nothing is left to attack.
    """
    forget = task.of_role("forget")
    if missing := [name for name in sets if name not in forget]:
        raise OptionError(f"there is no set {missing[0]!r} to be forgotten: expected some of {list(forget)}.")
    unseen = {name: of for name, of in forget.items() if of.use == "test"} or forget
    kept = {name: _items(of, images) for name, of in forget.items() if name in sets} if sets else {}
    if not sets:
        kept = {name: _items(of, images) for name, of in unseen.items()}
        free = {name: [i for i in items if i.sample.form == "generation"] for name, items in kept.items()}
        kept = free if any(free.values()) else kept
    found = {
        name: Set(forget[name].role, spread(items, limit or len(items)), forget[name].use)
        for name, items in kept.items()
        if items
    }
    if not found:
        what = "" if images else " without an image, and the model takes none"
        raise OptionError(
            f"no set of {task.name!r} has the role 'forget' and questions{what}: there is nothing to attack."
        )
    return replace(task, sets=found)


def knowing(task: Task, retain: Sequence[Sample]) -> Task:
    """What an attacker knows besides: questions about others with their answers, and about nobody."""
    if not retain:
        return task
    return replace(task, sets={**task.sets, "known to the attacker": Set.of("retain", retain)})


def _items(of: Set, images: bool) -> list[Item]:
    return [item for item in of.items if images or not item.sample.shown]
