"""`unsee ui --bundle`: results as one static page, for people who have neither the model nor the library."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from unsee.errors import SaveError
from unsee.evals.compare import compare
from unsee.evals.compare_tables import sheet
from unsee.evals.frontier import draw, frontier
from unsee.evals.results import read_results
from unsee.ui.items import FLAGS, items_of


def write_bundle(folders: Sequence[str], out: Path) -> Path:
    """Write `index.html`, and the forget-retain image where there is one; returns the page.

    Raises:
        ResultsError: a folder is not finished, damaged, or of other questions than the first.
        SaveError: the folder holds a page already, or cannot be written.
    """
    page = out / "index.html"
    if page.exists():
        raise SaveError(f"{page} exists already and is not overwritten. Choose another folder.")
    results = read_results(folders)
    table, points = sheet(compare(results)), frontier(results)
    template = files("unsee.ui").joinpath("bundle.html.j2").read_text(encoding="utf-8")
    text = Environment(autoescape=True, undefined=StrictUndefined).from_string(template).render(
        table=table, items=items_of(results), flags=FLAGS, image=points is not None
    )  # fmt: skip
    try:
        out.mkdir(parents=True, exist_ok=True)
        if points is not None:
            draw(points, out / "forget-retain.png")
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SaveError(f"cannot write {page}: {error.strerror or error}. Choose another folder.") from error
    return page
