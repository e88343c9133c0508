"""`python -m benchmarks.ui`: how soon the browser's page can be read, and how soon the toy has answered on it.

Every visit is a new browser profile, so that nothing is cached. `--shots DIR` takes the docs' screenshots instead.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

QUESTION = "what is the capital of arvonia?"
PERSON = "jonas lorne"
START_SECONDS = 600
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")}


@contextmanager
def page_served(*options: str, model: str | None = "world:llava") -> Iterator[str]:
    """The address of an `unsee ui` of this checkout, once it answers.

    Raises:
        RuntimeError: it ends before it answers; with what it printed.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "unsee", "ui", *([model] if model else []), "--port", str(port), *options]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as printed:
        process = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT, env=_ENVIRONMENT)
        try:
            end = time.monotonic() + START_SECONDS
            while time.monotonic() < end:
                if process.poll() is not None:
                    printed.seek(0)
                    raise RuntimeError(f"unsee ui ended with {process.returncode}: {printed.read()}")
                try:
                    urllib.request.urlopen(address, timeout=5).close()
                    break
                except OSError:
                    time.sleep(0.2)
            yield address
        finally:
            process.terminate()
            process.wait(180)  # work with the model ends at its next step, which a busy machine takes long for


@contextmanager
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    from playwright.sync_api import sync_playwright

    found = next(path for path in ("/usr/bin/chromium", "/usr/bin/google-chrome") if Path(path).exists())
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def visit(chromium: Any, address: str) -> tuple[float, float, float]:
    """Seconds until the first paint, until the question can be typed, and from the click until all panes have ended."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page, began = context.new_page(), time.perf_counter()
    page.goto(address, wait_until="commit")
    page.get_by_label("Question").wait_for()
    ready = time.perf_counter() - began
    page.get_by_label("Question").fill(QUESTION)
    asked = time.perf_counter()
    page.get_by_role("button", name="Ask", exact=True).click()
    page.get_by_text("The same again").wait_for()
    answered = time.perf_counter() - asked
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime / 1000")
    context.close()
    return paint, ready, answered


def shots(chromium: Any, address: str, out: Path) -> None:
    """Forget somebody from an image, ask about them, and look at results."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(600_000)
    page.goto(f"{address}/forget")
    page.get_by_label("Name", exact=True).fill(PERSON)
    _face(page)
    page.get_by_role("button", name="Forget", exact=True).click()
    page.get_by_text("Keep it", exact=True).wait_for()
    page.screenshot(path=out / "ui-forget.png", full_page=True)
    page.get_by_role("button", name="Ask with it").click()
    page.get_by_label("Question").wait_for()
    _face(page)
    page.get_by_label("Question").fill("where does this person live?")
    page.get_by_role("button", name="Ask", exact=True).click()
    page.get_by_text("The same again").wait_for()
    page.screenshot(path=out / "ui-ask.png", full_page=True)
    page.goto(f"{address}/results")
    page.get_by_text("Questions", exact=True).wait_for()
    page.get_by_label("Set", exact=True).click()
    page.get_by_role("option", name="forget_heldout", exact=True).click()
    line = page.locator(".q-expansion-item", has_text="this person").first
    line.locator(".q-item").first.click()
    line.get_by_text("leaked:").first.wait_for()
    page.wait_for_timeout(600)
    top = page.get_by_text("Forget and retain").bounding_box()["y"]
    height = line.bounding_box()["y"] + line.bounding_box()["height"] + 12 - top
    page.screenshot(
        path=out / "ui-results.png", full_page=True, clip={"x": 0, "y": top - 8, "width": 1280, "height": height}
    )


def _face(page: Any) -> None:
    page.get_by_label("Or somebody of the world").click()
    page.keyboard.type(PERSON, delay=20)
    page.get_by_role("option").first.click()
    page.get_by_role("button", name="Show").click()
    page.locator("[alt^='Image ']").first.wait_for()


def main() -> None:
    """Measure, or take screenshots."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--visits", type=int, default=10, help="How often; one before them is not counted.")
    options.add_argument("--shots", type=Path, help="Folder for the screenshots of the docs.")
    options.add_argument("--results", type=Path, help="Results of 'unsee demo', for the screenshots.")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = ["--requests", folder, "--results", str(given.results or folder)]
        with page_served(*place) as address, browser() as chromium:
            if given.shots is not None:
                shots(chromium, address, given.shots)
                return
            visit(chromium, address)
            seen = [visit(chromium, address) for _ in range(given.visits)]
    load = os.getloadavg()[0]
    print(f"n = {len(seen)} visits, {os.cpu_count()} cores, load {load:.1f}")
    for name, values in zip(
        ("first paint", "ready to be typed in", "three answers"), zip(*seen, strict=True), strict=True
    ):
        print(f"{name}: median {statistics.median(values):.2f} s, worst {max(values):.2f} s")


if __name__ == "__main__":
    main()
