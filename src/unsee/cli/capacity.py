"""`unsee capacity`: how many erasure requests a model holds at once, measured on it and not looked up."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from unsee.cli.console import LIMITS, finish, say, show_table, stages_shown
from unsee.cli.options import Json, Model, Out, Parts, Seed, open_model, require_writable, takes_parts
from unsee.errors import DataError, OptionError

if TYPE_CHECKING:
    from unsee.erase.request.request import Request

People = Annotated[Path | None, typer.Option(help="CSV with a column 'name', and 'aliases' and 'images' (a; b).")]


@takes_parts
def capacity(
    model: Model,
    out: Out = Path("capacity"),
    requests: People = None,
    retained: People = None,
    size: Annotated[list[int] | None, typer.Option(min=1, help="Requests in force at once; repeat.")] = None,
    ledger: Annotated[Path | None, typer.Option(help="A ledger: its policy's limits, and it is told.")] = None,
    profile: Annotated[Path | None, typer.Option(help="Profile folder; default: from the starter kit, cached.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
    *,
    parts: Parts,
) -> None:
    """Measure how many requests this model holds at once; exports of the ledger then say so.

    Fits people one by one as 'unsee forget' does and asks about all of them together as 'unsee ledger verify' does.
    The built-in models bring people of their own; for any other, name requests to try and people who must stay known.
    The folder holds plain names; the same command goes on where it was stopped.

    Example: unsee capacity world:llava --size 1 --size 5 --out capacity
    """
    from unsee.ledger.capacity import FILE_NAME
    from unsee.ledger.policy import DEFAULT, read_policy

    require_writable(out)
    own_world = model.startswith("world:")
    if (requests is None or retained is None) and not own_world:
        raise OptionError(
            "a model of one's own needs people of one's own: --requests FILE whom to forget, --retained FILE whom the "
            "model knows and must still answer about. Both are CSV with a column 'name'."
        )
    given = [None if file is None else _people(file) for file in (requests, retained)]
    limits = read_policy(ledger / DEFAULT.name if ledger else DEFAULT).verification
    from unsee.erase.profile import Profile
    from unsee.experiments.capacity import SIZES, Trial, certified, of_world, run

    drawn = of_world(seed) if own_world else ([], [])
    asked, others = (mine if mine is not None else built_in for mine, built_in in zip(given, drawn, strict=True))
    sizes = size or [one for one in SIZES if one <= len(asked)]
    if not sizes or max(sizes) > len(asked):
        raise OptionError(f"--size {max(sizes, default=1)} needs as many requests, but there are {len(asked)}.")
    _disjoint(asked, others)
    made_for = None if profile is None else Profile.from_pretrained(profile)
    loaded, rows = open_model(model, parts), list[dict[str, Any]]()
    with stages_shown() as stages:
        for row in run(loaded, Trial(asked, others, limits, seed), sizes, out, profile=made_for, stages=stages):
            rows.append(row)
            say(f"{row['requests']} in force: {_failed(row) or 'every limit is met'}")
    _table(rows)
    result = {"model_digest": loaded.digest, "certified": certified(rows), "limits": limits.as_json(), "rows": rows}
    for folder in (out, *([ledger] if ledger else [])):
        from unsee.evals.tables import save

        save(folder / FILE_NAME, result)
        say(f"Wrote {folder / FILE_NAME}")
    say(f"Certified for {result['certified']} request(s) at once: up to there every size met the limits.")
    say(LIMITS)
    finish(as_json, {"out": str(out), **result})


def _people(file: Path) -> "list[Request]":
    """Requests of a table; every row must be right, before anything is computed."""
    from unsee.erase.request.request import Request, request
    from unsee.ledger.intake import read_csv

    found = list[Request]()
    for row in read_csv(file):
        if row.error:
            raise DataError(f"{file}: {row.error}. Correct it.")
        name, *aliases = row.values["names"]
        found.append(request(name, aliases=aliases, images=row.values["images"]))
    if not found:
        raise DataError(f"{file}: names nobody, expected a row a person.")
    return found


def _disjoint(asked: "list[Request]", others: "list[Request]") -> None:
    names = [name.casefold() for one in asked for name in one.names]
    twice = sorted({name for name in names if names.count(name) > 1})
    both = sorted({name for one in others for name in one.names if name.casefold() in names})
    if twice or both or not others:
        what = f"{twice} stand there twice" if twice else f"{both} are to be forgotten and to stay known"
        what = what if twice or both else "nobody is to stay known"
        raise DataError(f"{what}: expected every person in one of the two lists, once.")


def _failed(row: dict[str, Any]) -> str:
    return "; ".join(f"{one['check']}: {one['text']}" for one in row["findings"] if one["verdict"] == "fail")


def _table(rows: list[dict[str, Any]]) -> None:
    """Of what is limited, and the two ways to ask, counts with what they are of."""
    shown = ("leak", "leak by name", "leak by image", "refusal", "fluency", "declines")
    table = Table("in force", *shown, caption="k / n; limits are met by exact 95 % bounds, not by rates")
    for row in rows:
        counts = {one["check"]: f"{one['count']['k']} / {one['count']['n']}" for one in row["findings"]}
        table.add_row(str(row["requests"]), *(counts.get(check, "") for check in shown))
    show_table(table)
