"""Writes docs/results.md from results folders: `python -m tools.results FOLDER [FOLDER ...]`.

Every figure of the page comes from a folder that `unsee eval`, `unsee demo`, `unsee table` or `unsee sweep` has
finished; the page says of each which code, model and questions it is of.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from unsee.evals.compare import compare
from unsee.evals.compare_tables import sheet
from unsee.evals.results import Result, read_results
from unsee.evals.tables import markdown, save

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
HEAD = "# Results\n\nMade by `python -m tools.results`, from results folders; do not edit by hand.\n"


def section(folder: Path, results: Sequence[Result]) -> str:
    """One folder: what it is of, then the table."""
    settings = results[0].settings
    model = settings["condition"].get("model", {})
    sets = ", ".join(f"{name} {one['n']}" for name, one in settings["sets"].items())
    about = (
        f"Model {model.get('id')} ({str(model.get('digest'))[:19]}), code {settings['code']}, seed {settings['seed']}, "
        f"one run. Questions by set: {sets}."
    )
    return f"## {folder.name}\n\n{about}\n\n{markdown(sheet(compare(results, seed=settings['seed'])))}"


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=PAGE)
    options = parser.parse_args(argv)
    sections = [section(folder, read_results([str(folder)])) for folder in options.folders]
    save(options.out, "\n".join([HEAD, *sections]))


if __name__ == "__main__":
    main()
