"""`unsee ask`: one question, without and with erasers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from unsee.cli.asked import sample_asked
from unsee.cli.console import finish, say, show_table
from unsee.cli.options import Json, Model, Parts, Seed, erasers_of, open_model, takes_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unsee.erase.eraser import Eraser
    from unsee.erase.steer.hooks import Reading

Erasers = Annotated[list[Path] | None, typer.Option("--eraser", help="Eraser folder or hub id; repeat to combine.")]


WORDS = "I'm sorry, I don't know who or what that is."
"""What `prefix` and `canned` say where no words are given."""


@takes_parts
def ask(
    model: Model,
    *,
    parts: Parts,
    question: Annotated[str, typer.Option(help="What to ask.")],
    image: Annotated[list[Path] | None, typer.Option(help="Image to ask about; repeat.")] = None,
    video: Annotated[list[Path] | None, typer.Option(help="Video file, or its frames in order; repeat.")] = None,
    eraser: Erasers = None,
    system: Annotated[str, typer.Option(help="System prompt.")] = "",
    earlier: Annotated[str, typer.Option(help="Turns before: OpenAI's messages, as JSON or its file.")] = "",
    reply: Annotated[
        Literal["fitted", "steer", "prefix", "canned"], typer.Option(help="How to reply where a gate is open.")
    ] = "fitted",
    words: Annotated[str, typer.Option(help="Words of prefix and canned.")] = WORDS,
    coefficient: Annotated[float, typer.Option(min=0, help="Multiple of the fitted coefficient.")] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 48,
    temperature: Annotated[float, typer.Option(min=0, help="Of the draw; 0 is greedy.")] = 0.0,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Ask one question, without and with erasers, and show what each gate read.

    Example: unsee ask world:llava --image face.png --question "where does this person live?" --eraser r-0001
    """
    import torch

    from unsee.erase.replies.named import reply_named
    from unsee.erase.steer.hooks import erased
    from unsee.models.generate import generate

    sample = sample_asked(question, image or (), video or (), system, earlier)
    loaded = open_model(model, parts)
    erasers = [one.with_strength(one.strength * coefficient) for one in erasers_of(eraser or (), loaded)]
    if reply != "fitted":
        erasers = [one.with_reply(reply_named(reply, loaded, words)) for one in erasers]
    drawn: dict[str, Any] = {"do_sample": True, "temperature": temperature} if temperature > 0 else {}

    def answer() -> str:
        torch.manual_seed(seed)
        return generate(loaded, [sample], max_new_tokens=max_new_tokens, **drawn)[0]

    result: dict[str, Any] = {"question": question, "before": answer()}
    say(f"before  {result['before']}")
    if erasers:
        with erased(loaded.model, *erasers, adapter=loaded.adapter) as steering:
            result["after"] = answer()
            readings, result["positions_steered"] = steering.readings, steering.positions
        say(f"after   {result['after']}")
        result["gates"] = _gates(eraser or (), erasers, readings)
    finish(as_json, result)


def _gates(
    paths: "Sequence[Path]", erasers: "Sequence[Eraser]", readings: "Sequence[Reading | None]"
) -> list[dict[str, Any]]:
    """Show the highest readings of each eraser; what was shown."""
    table, found = Table("eraser", "subject or layer", "reading", "fires"), []
    for path, one, reading in zip(paths, erasers, readings, strict=True):
        if reading is None:
            continue
        names = one.subjects if reading.margins.shape[1] == len(one.subjects) else [str(layer) for layer in one.layers]
        pairs = zip(names, reading.margins[0].tolist(), strict=True)
        for name, margin in sorted(pairs, key=lambda pair: -pair[1])[:8]:
            table.add_row(path.name, name, f"{margin:+.3f}", "yes" if margin >= 0 else "no")
            found.append({"eraser": str(path), "name": name, "margin": margin})
    show_table(table)
    return found
