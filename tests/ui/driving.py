"""An `unsee ui` in a process of its own, and Chromium that visits it."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PATIENT = 120_000
"""Milliseconds that a busy machine may take."""
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def started(*options: str) -> Iterator[str]:
    address = f"http://127.0.0.1:{(port := free_port())}"
    source = str(Path(__file__).parents[2] / "src")
    process = subprocess.Popen(
        [sys.executable, "-m", "unsee", "ui", *options, "--port", str(port)],
        env={**os.environ, "PYTHONPATH": source}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        end = time.monotonic() + 600
        while time.monotonic() < end:
            assert process.poll() is None, process.stdout and process.stdout.read()
            try:
                urllib.request.urlopen(address, timeout=1).close()
                break
            except OSError:
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.communicate(timeout=20)


def page_of(browser: Any, address: str, **options: Any) -> tuple[Any, list[str]]:
    page, errors = browser.new_context(**options).new_page(), []
    page.set_default_timeout(PATIENT)
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: errors.append(request.url) if not _own(request.url, address) else None)
    page.goto(address)
    page.locator("#main").wait_for()
    return page, errors


def _own(url: str, address: str) -> bool:
    return url.startswith(("/".join(address.split("/")[:3]), "data:", "blob:"))


def ask(page: Any, question: str) -> None:
    page.get_by_label("Question").fill(question)
    page.get_by_role("button", name="Ask", exact=True).click()
    page.get_by_text("The same again").wait_for(timeout=PATIENT)


def pane(page: Any, name: str) -> str:
    return page.get_by_role("region", name=name).locator(".answer").inner_text()
