"""Work in the pages: a fit that is left, found again and stopped; the ledger from its making to a decision; results."""

import io
import re
from typing import Any

import pytest
from PIL import Image
from tests.ui.driving import CHROMIUM, PATIENT, ask, page_of, pane

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]


def test_a_page_loads_little(browser: Any, address: str) -> None:
    page, _ = page_of(browser, address)
    page.get_by_label("Question").wait_for()
    loaded = page.evaluate("performance.getEntriesByType('resource').length")
    size = page.evaluate("performance.getEntriesByType('resource').reduce((sum, one) => sum + one.decodedBodySize, 0)")
    assert loaded < 120 and size < 8_000_000, (loaded, size)


def test_a_fit_that_is_left_goes_on_is_found_again_and_stops(browser: Any, address: str) -> None:
    page, errors = page_of(browser, f"{address}/forget")
    page.get_by_label("Name", exact=True).fill("jonas lorne")
    page.get_by_role("button", name="Forget", exact=True).click()
    page.get_by_role("progressbar", name="Progress").wait_for()
    page.wait_for_url("**job=*")
    asked, _ = page_of(browser, f"{address}/?eraser=open")
    ask(asked, "what is the capital of arvonia?")  # another tab is answered meanwhile
    assert pane(asked, "Erased") == "i do not know this person."
    link = page.url
    page.context.close()
    again, errors = page_of(browser, link)
    stop = again.get_by_role("button", name="Stop", exact=True)
    if again.get_by_text("Keep it").count() == 0:
        stop.click()
    again.get_by_text(re.compile("^Stopped|Keep it")).first.wait_for(timeout=PATIENT)
    assert errors == []
    gone, _ = page_of(browser, f"{address}/forget?job=none")
    gone.get_by_text("ended with the process").wait_for()


@pytest.mark.parametrize("name", ["", "\N{GRINNING FACE}\N{ZERO WIDTH JOINER}\u202e", "x" * 500, "<image> <b>"])
def test_a_name_that_is_none_is_refused_in_words(browser: Any, address: str, name: str) -> None:
    page, _ = page_of(browser, f"{address}/forget")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Forget", exact=True).click()
    page.locator(".q-notification").get_by_text(re.compile("expected|holds|control")).first.wait_for()
    assert "job=" not in page.url


def test_a_ledger_is_made_and_a_request_is_received_and_decided(browser: Any, address: str) -> None:
    page, errors = page_of(browser, f"{address}/requests")
    page.get_by_role("button", name="Make it").click()
    decide(page, "Make it")
    page.get_by_text("No request has come in yet.").wait_for()
    page.get_by_text("Receive a request").click()
    page.get_by_label("Name, then other names").fill("محمد \N{GRINNING FACE}, Mo")
    for label, text in (("Legal basis", "GDPR Art. 17"), ("Scope", "here"), ("Who decides", "me"), ("Why", "asked")):
        page.get_by_label(label).fill(text)
    picture = io.BytesIO()
    Image.new("RGB", (32, 32), (1, 2, 3)).save(picture, "PNG")
    content = {"name": "a.png", "mimeType": "image/png", "buffer": picture.getvalue()}
    page.set_input_files("input[type=file]", content)
    page.locator("[alt^='Image ']").first.wait_for()
    page.get_by_role("button", name="Receive", exact=True).click()
    page.get_by_role("link", name="Open it").click()
    page.get_by_role("button", name="Accept").click()
    page.get_by_role("dialog").get_by_role("button", name="Accept").click()
    assert "expected" in page.get_by_role("dialog").get_by_role("alert").inner_text(), "nobody has decided it yet"
    decide(page, "Accept")
    page.get_by_role("cell", name="accepted").wait_for()
    page.get_by_role("button", name="Fit and verify").click()
    assert "Nothing is put in force" in page.get_by_role("dialog").inner_text()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Deny").click()
    page.get_by_role("dialog").get_by_label("Ground").click()
    page.get_by_role("option").first.click()
    decide(page, "Deny")
    page.get_by_role("cell", name="denied", exact=True).first.wait_for()
    with page.expect_download() as letter:
        page.get_by_role("button", name="Draft the letter").click()
    assert letter.value.suggested_filename.startswith("letter-r-")
    assert errors == []


def decide(page: Any, verb: str) -> None:
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Who decides").fill("the officer")
    dialog.get_by_label("Why, without names").fill("it was asked for")
    dialog.get_by_role("button", name=verb, exact=True).click()
    dialog.wait_for(state="hidden")


def test_results_are_filtered_and_a_verdict_is_put_right(browser: Any, address: str) -> None:
    page, errors = page_of(browser, f"{address}/results")
    page.get_by_text("30 questions; 1 to 20").wait_for(timeout=PATIENT)
    page.get_by_label("Person", exact=True).click()
    page.get_by_role("option", name="p-1").click()
    page.get_by_text("10 questions; 1 to 10").wait_for()
    page.get_by_text("forget · p-1 · where 1?").click()
    page.get_by_text("leaked: no").first.wait_for()
    page.get_by_role("button", name="Verdict is wrong").first.click()
    page.get_by_role("button", name="Note it").click()
    page.get_by_text("Noted.").wait_for()
    page.get_by_label("Person, question or answer has").fill("nothing of the kind")
    page.get_by_text("0 questions").wait_for()
    assert errors == []
