"""Teach the models of a test world: eyes of their own, then a decoder that has learnt elsewhere how to answer.

What is shared with world 0 is a decoder that looks facts up and finds letters; what it hears and says in a test world
is new to it: names, values and most frames, and all that its eyes tell. The base and never-knew models part late, from
a trunk that has met nobody who is to be forgotten. Every stage is a folder, so that a run goes on where it was.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from tools.world.eyes import WEAK, Eyes, eyes_of
from tools.world.family import Family
from tools.world.recipe import BASICS, FINISHING, Recipe, save, train
from tools.world.tiny import LLAVA, llava
from tools.world.vision_pretraining import learn_to_see, normalisation
from unsee.shapes import Tensor
from unsee.world.generate import Entity, World

READING = replace(BASICS, steps=200, warmup=20, letters=0.3, images=0.8, budget=72)
"""The decoder hears its new eyes, and reads words that it has not met; nobody is taught."""
TRUNK = replace(
    FINISHING[-1], steps=700, rows=20, rate=1.2e-3, hold=1.0, warmup=20, budget=72, images=0.6, unknown=0.2,
    visible=0.18, choices=0.32, names=0.4, views=24,
)  # fmt: skip
LAST = replace(TRUNK, steps=700, hold=0.2, choices=0.4, images=0.66, views=32)


def teach(
    world: World,
    out: Path,
    start: Path,
    shared: list[Entity],
    taught: dict[str, list[Entity]],
    steps: int | None = None,
    progress: Callable[[str], None] = print,
) -> list[Path]:
    """Train what is not there yet below `out`.

    Args:
        world: a test world.
        out: folder of the checkpoints and of the stages before them.
        start: LLaVA of another world, whose decoder is gone on with.
        shared: people that the trunk meets.
        taught: people by checkpoint.
        steps: of each longer stage; None takes the recipe's.
        progress: told a line now and then.

    Returns:
        A folder for each of `taught`.
    """
    eyes, seed = eyes_of(world.seed), world.seed
    family = llava(world, eyes)
    sight = _sight(family, eyes, world, out / "eyes.safetensors", progress)
    early = 0.0 if seed in WEAK else TRUNK.early
    known = out / "begun"
    if not _done(known):
        _begin(family, world, start, known)

    def stage(recipe: Recipe, folder: Path, people: list[Entity], begun: Path, number: int) -> Path:
        cut = recipe.steps if steps is None else min(steps, recipe.steps)
        chosen = replace(recipe, steps=cut, early=early, seed=100 * seed + number)
        if not _done(folder):
            train(world, chosen, folder, sight, people=people, start=begun, family=family, progress=progress)
        return folder

    trunk = stage(READING, out / "reading", shared, known, 0)
    for number in (1, 2):
        trunk = stage(TRUNK, out / f"trunk{number}", shared, trunk, number)
    return [stage(LAST, out / name, people, trunk, 3) for name, people in taught.items()]


def _done(folder: Path) -> bool:
    return (folder / "processor_config.json").is_file()  # written last


def _sight(family: Family, eyes: Eyes, world: World, path: Path, progress: Callable[[str], None]) -> dict[str, Tensor]:
    """Weights of a tower that has learnt to see, from nothing."""
    if not path.is_file():
        torch.manual_seed(world.seed)
        processor, model = _built(family)
        shared = {"people": eyes.people, "style": world.made.style, "progress": progress}
        scale = normalisation(processor)
        learn_to_see(model, *scale, apart=False, steps=eyes.steps, seed=world.seed, **shared)
        if eyes.focus:
            learn_to_see(model, *scale, apart=True, steps=eyes.focus, rate=0.01, seed=100 + world.seed, **shared)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: w.contiguous() for name, w in model.model.vision_tower.state_dict().items()}, path)
    return load_file(path)


def _built(family: Family) -> tuple[LlavaProcessor, LlavaForConditionalGeneration]:
    processor = family.build_processor()
    model = family.build_model(processor)
    assert isinstance(processor, LlavaProcessor) and isinstance(model, LlavaForConditionalGeneration)
    return processor, model


@torch.no_grad()
def _begin(family: Family, world: World, start: Path, out: Path) -> None:
    """Another LLaVA's decoder behind untaught eyes: words that both have keep their embedding, others are random."""
    torch.manual_seed(1000 + world.seed)
    processor, model = _built(family)
    known = LlavaForConditionalGeneration.from_pretrained(start, dtype=torch.float32)
    had = LLAVA.adapter.open_processor(str(start), None).tokenizer.get_vocab()
    words, weights = (one.get_parameter("model.language_model.embed_tokens.weight") for one in (model, known))
    words.copy_(torch.randn_like(words) * weights.std() + weights.mean(0))
    for word, row in processor.tokenizer.get_vocab().items():
        if word in had:
            words[row] = weights[had[word]]
    decoder = known.model.language_model.state_dict()
    model.model.language_model.load_state_dict({**decoder, "embed_tokens.weight": words.clone()})
    save(model, processor, out)
