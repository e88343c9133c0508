"""`unsee ui --bundle`: results as one static page, for people who have neither the model nor the library."""

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from unsee.errors import SaveError
from unsee.evals.compare import compare
from unsee.evals.compare_tables import sheet
from unsee.evals.frontier import draw, frontier
from unsee.evals.results import Result, about
from unsee.evals.store import ResultsError
from unsee.ui.items import FLAGS, Item, found_folders, items_of, side_by_side
from unsee.ui.shown import Finder


def write_bundle(places: Sequence[Path], out: Path) -> Path:
    """Write `index.html` and its images; returns the page.

    Raises:
        ResultsError: there is no results folder that can be read.
        SaveError: the folder holds a page already, or cannot be written.
    """
    page = out / "index.html"
    if page.exists():
        raise SaveError(f"{page} exists already and is not overwritten. Choose another folder.")
    found = [Path(one) for one in found_folders(places)]
    groups, problems = side_by_side(found)
    if not groups:
        listed = ", ".join(map(str, places))
        raise ResultsError(problems[0] if problems else f"there is no results folder in {listed}. Name one.")
    try:
        (out / "images").mkdir(parents=True, exist_ok=True)
        items = [pair for results in groups for pair in _with_images(items_of(results), found, out)]
        shown = [_group(number, results, out) for number, results in enumerate(groups, 1)]
        page.write_text(_rendered(shown, items, problems), encoding="utf-8")
    except OSError as error:
        raise SaveError(f"cannot write {page}: {error.strerror or error}. Choose another folder.") from error
    return page


def _group(number: int, results: list[Result], out: Path) -> dict[str, Any]:
    points = frontier(results)
    image = None if points is None else draw(points, out / "images" / f"forget-retain-{number}.png")
    return {
        "title": f"Side by side: {about(results[0].settings)}", "table": sheet(compare(results)),
        "image": image and f"images/{image.name}",
    }  # fmt: skip


def _with_images(items: list[Item], folders: Sequence[Path], out: Path) -> list[tuple[Item, str]]:
    """Each question with the name of its image's file, empty where there is none."""
    finder, names = Finder.of(items, [*folders, *(one.parent for one in folders)]), dict[str, str]()
    for id in {item.image for item in items if item.image}:
        pixels = finder.find(id)
        if pixels is not None:
            names[id] = f"images/{hashlib.sha256(id.encode()).hexdigest()[:16]}.png"
            pixels.save(out / names[id])
    return [(item, names.get(item.image or "", "")) for item in items]


def _rendered(groups: list[dict[str, Any]], items: list[tuple[Item, str]], problems: list[str]) -> str:
    def text(name: str) -> str:
        return files("unsee.ui").joinpath(name).read_text(encoding="utf-8")

    script, every = text("bundle.js"), [item for item, _ in items]
    filters = [
        ("set", "Set", dict.fromkeys(one.split for one in every)),
        ("person", "Person", sorted({one.person for one in every})),
        ("form", "Form", dict.fromkeys(one.form for one in every if one.form)),
        ("verdict", "Some reply is", FLAGS),
    ]
    # The script is ours, and the page's policy runs this one alone.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(text("bundle.html.j2"))
    return template.render(
        groups=groups, items=items, problems=problems, filters=filters, flags=FLAGS, digest=digest,
        script=Markup(script),
    )  # fmt: skip
