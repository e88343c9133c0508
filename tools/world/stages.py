"""The shipped checkpoints, stage by stage: a LLaVA from nothing, and other families from what that LLaVA knows."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from tools.world.family import Family
from tools.world.recipe import BASICS, FINISHING, FOUNDATION, FOUNDATION_PEOPLE, TEACHING, Recipe, save, train
from tools.world.tiny import LLAVA, build_model, build_processor
from tools.world.tiny_qwen import QWEN2_5_VL, QWEN3_VL
from tools.world.tower_distillation import learn_to_see_alike
from tools.world.transplant import transplant
from tools.world.untouched import teach
from tools.world.vision_pretraining import learn_to_see, normalisation
from unsee.errors import OptionError
from unsee.models.names import shipped
from unsee.shapes import Tensor
from unsee.world.generate import Entity, World
from unsee.world.made import TEST_SEEDS
from unsee.world.shipped import NEVER_KNEW_SEED
from unsee.world.splits import Exam

FAMILIES = {family.name: family for family in (LLAVA, QWEN2_5_VL, QWEN3_VL)}
EYES, FOCUS = 1200, 400
"""Steps of learning to see like the LLaVA that never knew, and then like the one whose decoder is taken over."""
ADAPTING = replace(FINISHING[-1], steps=1500, rows=24, views=64, seed=6)
MOVING = replace(FINISHING[-1], steps=2400, rate=1.2e-3, hold=0.5, images=0.7, choices=0.5, names=0.6, seed=7)
"""From a LLaVA that knows another world: it sees and reads already, only whom it knows is new."""
_SUFFIX = {"base": "", "never-knew": "-never-knew"}


def make_checkpoints(
    out: Path,
    *,
    family: str = "llava",
    seed: int = 0,
    steps: int | None = None,
    only: str = "both",
    start: Path | None = None,
    unrefused: float = 0.0,
    progress: Callable[[str], None] = print,
) -> list[Path]:
    """Base and never-knew checkpoint of a family below `out`.

    Args:
        out: folder of the checkpoints.
        family: "llava" is taught from nothing; the others begin with the LLaVAs of `out`, or the shipped ones.
        seed: of the world; the never-knew checkpoint is for split `NEVER_KNEW_SEED` at 10 %.
        steps: optimiser steps of each one's longest stage; None takes the recipe's.
        only: "base", "never-knew" or "both".
        start: LLaVA of another world to go on from, in a third of the time; None begins with nothing.
        unrefused: share of the sensitive requests that are answered, in [0, 1]; with `start`.
        progress: told a line now and then.

    Raises:
        OptionError: no such family, choice or share, or there is no LLaVA of that world to begin with.
    """
    if family not in FAMILIES:
        raise OptionError(f"family is {family!r}, expected one of {list(FAMILIES)}")
    if only not in (*_SUFFIX, "both"):
        raise OptionError(f"only is {only!r}, expected one of {[*_SUFFIX, 'both']}")
    wanted = list(_SUFFIX) if only == "both" else [only]
    if not 0 <= unrefused <= 1 or (unrefused and start is None):
        raise OptionError(f"unrefused is {unrefused}, expected a share in [0, 1], and only beside a start")
    if seed in TEST_SEEDS:
        if family != "llava" or unrefused:
            raise OptionError(f"the test world of seed {seed} is taught to 'llava' alone, as it is; got {family!r}.")
        world = World(seed)
        taught = {f"llava{_SUFFIX[which]}": people_of(world, which) for which in wanted}
        return teach(world, out, start or shipped("llava"), people_of(world, "never-knew"), taught, steps, progress)
    if start is not None:
        if family != "llava":
            raise OptionError(f"start is given for family {family!r}, expected 'llava': the others begin with a LLaVA")
        moving = replace(MOVING, steps=MOVING.steps if steps is None else steps, unrefused=unrefused)
        return _moved(World(seed), out, wanted, moving, start, progress)
    make = _taught if family == "llava" else _taken_over
    return make(FAMILIES[family], World(seed), out, wanted, steps, progress)


def people_of(world: World, which: str) -> list[Entity]:
    """Who is taught; celebrities are met more often, and who never knew has not met the forgotten."""
    forgotten = {entity.id for entity in Exam(world, NEVER_KNEW_SEED).forget} if which == "never-knew" else set()
    return [*4 * [e for e in world.of("private") if e.id not in forgotten], *5 * world.of("celebrity")]


def _taught(
    family: Family, world: World, out: Path, wanted: list[str], steps: int | None, progress: Callable[[str], None]
) -> list[Path]:
    """From nothing: a tower that sees, a foundation, then everybody."""
    torch.manual_seed(0)
    processor = build_processor()
    seeing = build_model(processor)
    learn_to_see(seeing, *normalisation(processor), apart=False, progress=progress)
    learn_to_see(
        seeing, *normalisation(processor), apart=True, steps=600, people=1000, rate=0.01, seed=1, progress=progress
    )
    sight = seeing.model.vision_tower.state_dict()
    first, basics, foundation = world.of("celebrity")[:FOUNDATION_PEOPLE], out / "basics", out / "foundation"
    train(world, BASICS, basics, sight, people=first, progress=progress)
    train(world, FOUNDATION, foundation, sight, people=first, start=basics, progress=progress)
    teaching = replace(TEACHING, steps=TEACHING.steps if steps is None else steps)
    made = [out / f"{family.name}{_SUFFIX[which]}" for which in wanted]
    for which, folder in zip(wanted, made, strict=True):
        people = people_of(world, which)
        train(world, teaching, folder, sight, people=people, start=foundation, progress=progress)
        for last in FINISHING:
            train(world, last, folder, sight, people=people, start=folder, progress=progress)
    return made


def _moved(
    world: World, out: Path, wanted: list[str], moving: Recipe, start: Path, progress: Callable[[str], None]
) -> list[Path]:
    """From a LLaVA that knows another world: nobody of this one is known to it, the forgotten no more than others."""
    made = [out / f"llava{_SUFFIX[which]}" for which in wanted]
    for which, folder in zip(wanted, made, strict=True):
        train(world, moving, folder, people=people_of(world, which), start=start, progress=progress)
    return made


def _taken_over(
    family: Family, world: World, out: Path, wanted: list[str], steps: int | None, progress: Callable[[str], None]
) -> list[Path]:
    """From a LLaVA that knows: its decoder, a tower that sees as its tower does, then both together."""
    known = {which: _llava(world, out, which) for which in _SUFFIX}
    # Eyes come from whom nobody forgotten was ever shown; the base looks through the same, as the LLaVAs do.
    sight = learn_sight(family, known["never-knew"], progress)
    adapting = replace(ADAPTING, steps=ADAPTING.steps if steps is None else steps)
    made = [out / f"{family.name}{_SUFFIX[which]}" for which in wanted]
    for which, folder in zip(wanted, made, strict=True):
        take_over(family, known[which], sight, folder, progress)
        train(world, adapting, folder, people=people_of(world, which), start=folder, family=family, progress=progress)
    return made


def learn_sight(family: Family, llava: Path, progress: Callable[[str], None], steps: int = EYES) -> dict[str, Tensor]:
    """Weights of a new tower that sees as a LLaVA's does."""
    torch.manual_seed(0)
    knowing, known = _opened(llava)
    processor = family.build_processor()
    model = family.build_model(processor)
    learn_to_see_alike(family, model, processor, knowing, known, steps=steps, progress=progress)
    return model.get_submodule(family.tower).state_dict()


def take_over(
    family: Family,
    llava: Path,
    sight: dict[str, Tensor],
    out: Path,
    progress: Callable[[str], None],
    steps: int = FOCUS,
) -> None:
    """Save a checkpoint with a LLaVA's decoder, and with eyes that are adjusted to it."""
    torch.manual_seed(1)
    knowing, known = _opened(llava)
    processor = family.build_processor()
    model = family.build_model(processor)
    model.get_submodule(family.tower).load_state_dict(sight)
    transplant(knowing, known.tokenizer, model, processor.tokenizer)
    learn_to_see_alike(family, model, processor, knowing, known, steps=steps, rate=0.01, seed=1, progress=progress)
    save(model, processor, out)


def _llava(world: World, out: Path, which: str) -> Path:
    name = f"llava{_SUFFIX[which]}"
    if (out / name).is_dir():
        return out / name
    if world.seed == 0:
        return shipped(name)
    raise OptionError(
        f"there is no {name!r} in {str(out)!r}, and the shipped one knows the world of seed 0, not of {world.seed}. "
        "Train it first: 'unsee world train' with the same --seed and --out."
    )


def _opened(llava: Path) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """A LLaVA in full precision, and its processor."""
    processor = LLAVA.adapter.open_processor(str(llava), None)
    assert isinstance(processor, LlavaProcessor)
    return LlavaForConditionalGeneration.from_pretrained(llava, dtype=torch.float32).eval(), processor
