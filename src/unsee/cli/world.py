"""`unsee world`: write the built-in world's data."""

from typing import Annotated

import typer

from unsee.cli.console import finish, say, stages_shown
from unsee.cli.options import Json, Out, Seed

world_app = typer.Typer(no_args_is_help=True, help="The built-in world's data.")


@world_app.command("build")
def world_build(
    out: Out,
    seed: Seed = 0,
    split_seed: Annotated[int, typer.Option(help="Who is forgotten.")] = 0,
    as_json: Json = False,
) -> None:
    """Write the world's data: people in MLLMU-Bench's schema, everything else as JSON lines with images.

    Example: unsee world build --out world
    """
    from unsee.world.export import export
    from unsee.world.generate import World
    from unsee.world.splits import Exam

    with stages_shown() as stages:
        tell = stages("writing", 22)
        written = export(Exam(World(seed), split_seed), out, lambda _: tell(1))
    say(f"Wrote {len(written)} sets to {out}: {', '.join(written)}")
    finish(as_json, {"out": str(out), "sets": written})


@world_app.command("fixtures")
def world_fixtures(
    out: Out,
    name: Annotated[
        list[str] | None, typer.Option("--name", help="Benchmark to imitate; repeat. Default: all.")
    ] = None,
    seed: Seed = 0,
    split_seed: Annotated[int, typer.Option(help="Who is forgotten.")] = 0,
    private: Annotated[int, typer.Option(help="Private people; the shipped checkpoints know the 200 of seed 0.")] = 200,
    as_json: Json = False,
) -> None:
    """Write the world in the schema of each benchmark: small folders to try 'unsee eval' on before any download.

    Example: unsee world fixtures --name clear --out fixtures
    """
    from unsee.world.fixtures import FIXTURES, write_fixture
    from unsee.world.generate import World
    from unsee.world.splits import Exam

    names = name or list(FIXTURES)
    exam = Exam(World(seed, private=private), split_seed)
    with stages_shown() as stages:
        tell = stages("writing", len(names))
        for one in names:
            write_fixture(one, exam, out)
            tell(1)
    say(f"Wrote {', '.join(names)} to {out}")
    finish(as_json, {"out": str(out), "fixtures": names})
