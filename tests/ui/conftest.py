"""One server and one browser for all tests of the pages."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.ui import page_served
from tests.ui.driving import CHROMIUM
from tests.ui.folders import row, write

from unsee.erase.eraser import Eraser
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.profile import identity
from unsee.erase.replies.canned import CannedReply
from unsee.models.load import load
from unsee.models.names import shipped


@pytest.fixture(scope="session")
def erasers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose gate is always open, and one whose gate is always shut."""
    folder, loaded = tmp_path_factory.mktemp("erasers"), load(shipped("llava"))
    for name, bias in (("open", 2.0), ("shut", -2.0)):
        gate = PromptRidgeGate((4,), torch.zeros(1, 1, 2, 192), torch.full((1,), bias), torch.zeros(1))
        reply = CannedReply.with_words(loaded, "i do not know this person.")
        made = Eraser(
            identity(loaded), "llava", (4,), gate, torch.zeros(1, 2, 192), 1.0, "test", subjects=(name,), reply=reply
        )
        made.save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="session")
def address(erasers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    place = tmp_path_factory.mktemp("place")
    rows = [row(id=f"q-{n}", question=f"where {n}?", person=f"p-{n % 3}") for n in range(30)]
    write(place / "run", [*rows, *(one | {"condition": "erased", "answer": "no.", "leaked": False} for one in rows)])
    with page_served(
        "--requests", str(place / "requests"), "--results", str(place), "--eraser", str(erasers / "open"), "--eraser",
        str(erasers / "shut"), "--ledger", str(place / "ledger"), "--keys", str(place / "keys"),
    ) as address:  # fmt: skip
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Not of the session: while it is open its event loop runs in this thread, and other tests need their own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()
