"""`python -m tools.world.gives_away MODEL`: what a world makes easy, for whoever reads figures that are measured on it.

Three things that no released model need have: an answer that can be read blocks before it is said, eyes that tell
faces apart by themselves, and facts that are guessed. What a model that was never told guesses is in the honest table.
"""

from collections import Counter
from typing import Annotated, Any

import torch
import typer
from rich.table import Table

from unsee.cli.console import show_table
from unsee.data.sample import Sample
from unsee.erase.fit.activations import capture
from unsee.methods.controls import image_vectors
from unsee.models.load import LoadedModel, load
from unsee.shapes import Float, Tensor
from unsee.world.generate import Entity, World
from unsee.world.splits import FIT_VIEWS, HELD_OUT_VIEWS, Exam, image

ASKED, SHOWN = 60, 6
"""People, and views of each, of the taught and of the held-out ones."""


def blanks(exam: Exam, people: list[Entity]) -> list[Sample]:
    """Held-out statements with a blank about every fact: the first word of the answer is the fact."""
    asked = exam.facts(people, taught=False, forms=3, tag="away")
    return [s for s in asked if s.form == "cloze" and s.id.split("/")[1] != "name"]


@torch.no_grad()
def read_early(loaded: LoadedModel, samples: list[Sample]) -> Float[Tensor, " L"]:
    """Share of facts that are the likeliest word at the input of each block, by the model's own head (logit lens)."""
    model: Any = loaded.model
    decoder: Any = loaded.adapter.text_model(model)
    layers = range(len(loaded.adapter.layers(model)))
    states = capture(loaded, samples, layers, pool=("last",)).last
    words = loaded.processor.tokenizer([s.gold for s in samples], add_special_tokens=False)["input_ids"]
    wanted = torch.tensor([ids[0] for ids in words])
    said = model.lm_head(decoder.norm(states.to(model.dtype))).argmax(-1)
    return (said == wanted.unsqueeze(1)).float().mean(0)


def told_apart(loaded: LoadedModel, world: World, people: list[Entity]) -> float:
    """Share of held-out images whose nearest mean of taught ones, by the tower alone, is of the same person."""

    def vectors(views: range) -> Float[Tensor, "K V D"]:
        shown = [image(world, one, view) for one in people for view in views[:SHOWN]]
        samples = [Sample(one.id, one.id, "look", "", "", image=one) for one in shown]
        return image_vectors(loaded, samples).view(len(people), SHOWN, -1)

    known, asked = vectors(FIT_VIEWS).mean(1), vectors(HELD_OUT_VIEWS)
    centre = known.mean(0)
    near = torch.nn.functional.normalize(known - centre, dim=-1)
    found = ((asked - centre) @ near.mT).argmax(-1)
    return float((found == torch.arange(len(people)).unsqueeze(1)).float().mean())


def guessed(world: World) -> float:
    """Share of facts that whoever says the commonest value of each kind has right."""
    people = world.of("private")
    facts = {a.key: Counter(one.facts[a.key] for one in people) for a in people[0].attributes}
    return sum(count.most_common(1)[0][1] for count in facts.values()) / (len(facts) * len(people))


def report(
    model: Annotated[str, typer.Argument(help="Checkpoint that knows the world.")],
    world_seed: Annotated[int, typer.Option(help="Of the world.")] = 0,
) -> None:
    """Tell what is easy in a world."""
    world = World(world_seed)
    exam, loaded = Exam(world), load(model)
    people = world.of("private")[:ASKED]
    table = Table("what", "share", title=f"What world {world_seed} gives away")
    ways = {"by name": False, "by image": True}
    asked = {way: [s for s in blanks(exam, people) if (s.image is not None) is shown] for way, shown in ways.items()}
    for way, samples in asked.items():
        shares = ", ".join(f"{share:.0%}" for share in read_early(loaded, samples).tolist())
        table.add_row(f"facts that can be read {way} at the input of each block (n {len(samples)})", shares)
    table.add_row(
        f"held-out images told apart by the tower alone ({len(people)} people)",
        f"{told_apart(loaded, world, people):.0%}",
    )
    table.add_row("facts that the commonest values get right", f"{guessed(world):.0%}")
    show_table(table)


if __name__ == "__main__":
    typer.run(report)
