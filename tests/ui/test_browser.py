"""The pages in a browser: at three widths, light and dark, with hostile uploads, in two tabs, against a server."""

import io
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from benchmarks.ui import page_served
from PIL import Image
from tests.ui.driving import CHROMIUM, PATIENT, ask, page_of, pane

WORDS = "There is nothing that I can say about that."
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]


@pytest.mark.parametrize("path", ["/", "/forget", "/requests", "/results", "/live"])
def test_a_page_fits_every_width_loads_only_its_own_and_can_be_read_aloud(
    browser: Any, address: str, path: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    for scheme in ("light", "dark"):
        # The policy is bypassed for axe, which is put into the page; errors of the policy are looked for elsewhere.
        page, errors = page_of(browser, address + path, color_scheme=scheme, bypass_csp=True)
        for width in (390, 768, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(300)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)
            found = Axe().run(page).response["violations"]
            assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == [], (scheme, width)
        assert errors == []
        page.context.close()


def test_three_panes_answer_and_the_gate_says_why(browser: Any, address: str) -> None:
    page, errors = page_of(browser, f"{address}/?eraser=open")
    ask(page, "what is the capital of arvonia?")
    assert "quorum" in pane(page, "Base") and "quorum" in pane(page, "Never knew")
    assert pane(page, "Erased") == "i do not know this person."
    meter = page.get_by_role("meter")
    assert float(meter.get_attribute("aria-valuenow")) == 2.0 and "open" in meter.get_attribute("class")
    command = page.locator("code.command").inner_text()
    assert re.search(r"unsee ask world:llava --question 'what is the capital of arvonia\?' --eraser \S+open", command)
    assert errors == [], "the page's own policy lets it work"


def test_two_tabs_do_not_mix(browser: Any, address: str) -> None:
    pages = [page_of(browser, f"{address}/?eraser={name}")[0] for name in ("open", "shut")]
    for page in pages:
        page.get_by_label("Question").fill("what is the capital of arvonia?")
    for page in pages:
        page.get_by_role("button", name="Ask", exact=True).click()
    for page in pages:
        page.get_by_text("The same again").wait_for(timeout=PATIENT)
    assert pane(pages[0], "Erased") == "i do not know this person."
    assert pane(pages[1], "Erased") == pane(pages[1], "Base")


def bomb() -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    return buffer.getvalue()


def test_what_is_no_image_is_refused_in_words_and_the_page_goes_on(browser: Any, address: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (9, 9, 9)).save(buffer, "PNG")
    good = buffer.getvalue()
    page, _ = page_of(browser, address)
    hostile = {
        "text.png": b"this is text",
        "cut.png": good[: len(good) // 2],
        "empty.png": b"",
        "page.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        "../../etc/passwd.png": b"\x89PNG\r\n\x1a\n",
        "bomb.png": bomb(),
    }
    for name, content in hostile.items():
        page.set_input_files("input[type=file]", {"name": name, "mimeType": "image/png", "buffer": content})
        page.wait_for_timeout(400)
    assert page.locator("[alt^='Image ']").count() == 0
    assert "Traceback" not in page.content()
    page.set_input_files("input[type=file]", {"name": "good.png", "mimeType": "image/png", "buffer": good})
    page.locator("[alt^='Image ']").first.wait_for()


class _Server(BaseHTTPRequestHandler):
    """As much of an OpenAI-shaped server as a client needs to stream one answer."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _send(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Models and state."""
        if self.path == "/metrics":
            return self._send("text/plain", b"# TYPE unsee_erasers_in_force gauge\nunsee_erasers_in_force 2\n")
        self._send(
            "application/json", json.dumps({"object": "list", "data": [{"id": "m", "object": "model"}]}).encode()
        )

    def do_POST(self) -> None:
        """One answer in pieces."""
        self.rfile.read(int(self.headers["content-length"]))
        pieces = [{"choices": [{"index": 0, "delta": {"content": f"{word} "}}]} for word in WORDS.split()]
        lines = [f"data: {json.dumps({'id': 'c', 'object': 'chat.completion.chunk', **one})}\n\n" for one in pieces]
        self._send("text/event-stream", "".join([*lines, "data: [DONE]\n\n"]).encode())


def test_a_running_server_is_asked_and_watched(browser: Any, tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    there = f"http://127.0.0.1:{server.server_port}"
    with page_served(
        "--server", there, "--requests", str(tmp_path / "r"), "--results", str(tmp_path), model=None
    ) as address:
        page, _ = page_of(browser, address)
        ask(page, "who lives in sorrin?")
        assert pane(page, "Served") == WORDS
        page.goto(f"{address}/live")
        page.get_by_text("erasers in force").wait_for()
        server.shutdown()
        server.server_close()
        page.get_by_text("does not answer").wait_for(timeout=20_000)
