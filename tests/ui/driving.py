"""Chromium that visits an `unsee ui` and does what people do."""

import shutil
from typing import Any

PATIENT = 120_000
"""Milliseconds that a busy machine may take."""
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


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
