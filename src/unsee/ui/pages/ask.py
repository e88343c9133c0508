"""Ask: one conversation, answered by the model as it is, by the erased one, and by one that never knew."""

import shlex
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, final
from urllib.parse import urlencode

from nicegui import ui

from unsee.data import ImageFile
from unsee.data.sample import Turn
from unsee.erase.eraser import Eraser
from unsee.erase.replies.canned import CannedReply
from unsee.erase.replies.prefix import PrefixReply
from unsee.erase.replies.steer import SteerReply
from unsee.models.generate import Conversation
from unsee.ui.bench import MOST, Bench
from unsee.ui.engine import Answered, Engine, How
from unsee.ui.frame import (
    command,
    frame,
    guarded,
    heading,
    image_input,
    notice,
    thumbnail,
    thumbnails,
    world_faces,
)
from unsee.ui.pages.panes import ERASED, TWIN, details, pane

Ask = Callable[[Conversation, How, Callable[[str], None], threading.Event], Awaitable[Answered]]
ReplyName = Literal["as fitted", "steer", "prefix", "canned"]
_OWN_WORDS = "I'm sorry, I don't know who or what that is."


@final
@dataclass
class _Tab:
    """What is one tab's own."""

    turns: list[Turn] = field(default_factory=list)
    images: list[ImageFile] = field(default_factory=list)
    erasers: list[str] = field(default_factory=list)
    reply: ReplyName = "as fitted"
    words: str = _OWN_WORDS
    times: float = 1.0
    how: How = field(default_factory=How)
    system: str = ""
    stop: threading.Event = field(default_factory=threading.Event)


def ask_page(bench: Bench, query: dict[str, str]) -> None:
    """The page; `query` is of a link to an earlier run."""
    names = list(bench.eraser_folders())
    tab = _Tab(erasers=[one for one in query.get("eraser", "").split(",") if one in names] or names[:1])
    tab.how = replace(tab.how, seed=_whole(query.get("seed")), tokens=_whole(query.get("tokens"), 48, 1, 512))
    with frame(bench, "/"), ui.element("div").classes("two"):
        with ui.element("div").classes("stack"):
            heading("Conversation")
            said = ui.element("div").props('aria-live="polite"').classes("w-full")
            shown = ui.row()
            draw = thumbnails(tab.images, shown)

            def redraw() -> None:
                draw()
                _turns(tab, said)

            question = (
                ui.textarea("Question", value=query.get("question", "")).props("outlined autogrow").classes("w-full")
            )
            question.on("keydown.enter.prevent.exact", js_handler="() => document.getElementById('ask').click()")
            with ui.row().classes("items-center"):
                go = ui.button("Ask").props('id="ask"')
                halt = ui.button("Stop", on_click=lambda: tab.stop.set()).props("outline")
                ui.button("Start over", on_click=lambda: _over(tab, redraw)).props("flat")
            halt.set_enabled(False)
            image_input(bench, lambda one: _add(tab, one, redraw))
            world_faces(bench, lambda one: _add(tab, one, redraw))
        with ui.element("div").classes("stack"):
            heading("In force")
            _controls(bench, tab, names)
        results = ui.element("div").classes("w-full").style("grid-column: 1 / -1")
        go.on_click(lambda: _run(bench, tab, question, results, redraw, go, halt))
    redraw()


def _controls(bench: Bench, tab: _Tab, names: list[str]) -> None:
    if bench.served is not None:
        notice("What is in force is the server's to say: its ledger and the key's tenant.")
        return
    if names:
        ui.select(names, multiple=True, value=tab.erasers, label="Erasers").props("outlined use-chips").classes(
            "w-full"
        ).bind_value_to(tab, "erasers")
    else:
        ui.label("No eraser yet: make one under Forget, or start with --eraser.").classes("dim")
    with ui.expansion("Reply, lengths and chance").classes("w-full"):
        ui.select(
            ["as fitted", "steer", "prefix", "canned"], value=tab.reply, label="Reply where a gate is open"
        ).props("outlined").classes("w-full").bind_value_to(tab, "reply")
        ui.input("Words of prefix and canned", value=tab.words).props("outlined").classes("w-full").bind_value_to(
            tab, "words"
        )
        ui.number("Coefficient, as a multiple of the fitted one", value=1.0, min=0, max=4, step=0.1).props(
            "outlined"
        ).classes("w-full").bind_value_to(tab, "times", forward=lambda v: float(v if v is not None else 1))
        ui.input("System prompt").props("outlined").classes("w-full").bind_value_to(tab, "system")
        for label, name, least, most in (("Longest answer, tokens", "tokens", 1, 512), ("Seed", "seed", 0, 2**31 - 1)):
            ui.number(label, value=getattr(tab.how, name), min=least, max=most, precision=0).props("outlined").classes(
                "w-full"
            ).on_value_change(
                lambda e, name=name, least=least: _set(tab, name, int(e.value if e.value is not None else least))
            )
        ui.number("Temperature (0: greedy)", value=0, min=0, max=3, step=0.1).props("outlined").classes(
            "w-full"
        ).on_value_change(lambda e: _set(tab, "temperature", float(e.value or 0)))


def _set(tab: _Tab, name: str, value: Any) -> None:
    tab.how = replace(tab.how, **{name: value})


def _add(tab: _Tab, image: ImageFile, redraw: Callable[[], None]) -> None:
    held = len(tab.images) + sum(isinstance(part, ImageFile) for turn in tab.turns for part in turn.parts)
    if held >= MOST:
        ui.notify(f"Not taken: a conversation holds at most {MOST} images.", type="negative")
        return
    tab.images.append(image)
    redraw()


def _over(tab: _Tab, redraw: Callable[[], None]) -> None:
    tab.turns.clear()
    tab.images.clear()
    redraw()


def _turns(tab: _Tab, said: ui.element) -> None:
    said.clear()
    with said:
        for turn in tab.turns:
            with ui.element("p").style("margin: 4px 0"):
                ui.label(f"{'You' if turn.role == 'user' else 'Model'}: {turn.text}")
                for image in (part for part in turn.parts if isinstance(part, ImageFile)):
                    thumbnail(image, 56)


async def _run(
    bench: Bench, tab: _Tab, question: ui.textarea, results: ui.element, redraw: Callable[[], None], go: ui.button,
    halt: ui.button,
) -> None:  # fmt: skip
    text = (question.value or "").strip()
    if not text:
        ui.notify("There is no question yet.", type="warning")
        return
    tab.stop = threading.Event()
    turn = Turn("user", (*tab.images, text))
    asked = _conversation(tab, turn)
    go.set_enabled(False)
    halt.set_enabled(True)
    try:
        answered = await guarded(lambda: _panes(bench, tab, asked, results, text))
    finally:
        go.set_enabled(True)
        halt.set_enabled(False)
    if answered is not None:
        tab.turns += [turn, Turn("assistant", (answered.text or "...",))]
        tab.images.clear()
        question.set_value("")
        redraw()


def _conversation(tab: _Tab, turn: Turn) -> Conversation:
    turns = [*([Turn("system", (tab.system,))] if tab.system.strip() else []), *tab.turns, turn]
    messages: list[Any] = [
        {
            "role": one.role,
            "content": [{"type": "text", "text": p} if isinstance(p, str) else {"type": "image"} for p in one.parts],
        }
        for one in turns
    ]
    return Conversation("asked", messages, [p for one in turns for p in one.parts if isinstance(p, ImageFile)])


async def _panes(bench: Bench, tab: _Tab, asked: Conversation, results: ui.element, text: str) -> Answered | None:
    panes = _who_answers(bench, tab)
    results.clear()
    with results, ui.element("div").classes("panes"):
        boxes = [pane(name) for name, _ in panes]
    last: Answered | None = None
    for (name, ask), (box, answer) in zip(panes, boxes, strict=True):
        written: list[str] = []

        def tell(piece: str, written: list[str] = written, answer: ui.label = answer) -> None:
            written.append(piece)
            answer.set_text("".join(written))

        made = await ask(asked, tab.how, tell, tab.stop)
        answer.set_text(made.text or "(nothing)")
        with box:
            details(made, name)
        last = made if name == ERASED or last is None else last
    with results:
        heading("The same again")
        link = urlencode(
            {"question": text, "eraser": ",".join(tab.erasers), "seed": tab.how.seed, "tokens": tab.how.tokens}
        )
        ui.link("Link to this question and these settings (images are not in it)", f"/?{link}")
        if bench.served is None:  # what is in force on a server is not ours to name
            command(_command(bench, tab, asked, text))
    return last


def _who_answers(bench: Bench, tab: _Tab) -> list[tuple[str, Ask]]:
    """Name of each pane, and what answers in it."""
    if bench.served is not None:
        return [("Served", bench.served.answer)]
    assert bench.engine is not None
    erasers = [_as_chosen(tab, bench.eraser(name), bench.engine) for name in tab.erasers]
    panes: list[tuple[str, Ask]] = [("Base", partial(bench.engine.answer, ()))]
    if erasers:
        panes.append((ERASED, partial(bench.engine.answer, erasers)))
    if bench.twin is not None:
        panes.append((TWIN, partial(bench.twin.answer, ())))
    return panes


def _as_chosen(tab: _Tab, eraser: Eraser, engine: Engine) -> Eraser:
    eraser = eraser.with_strength(eraser.strength * tab.times)
    made = {"canned": CannedReply, "prefix": PrefixReply}.get(tab.reply)
    if made is not None:
        return eraser.with_reply(made.with_words(engine.loaded, tab.words))
    return eraser if tab.reply == "as fitted" else eraser.with_reply(SteerReply())


def _command(bench: Bench, tab: _Tab, asked: Conversation, text: str) -> str:
    parts = ["unsee", "ask", bench.model, "--question", text]
    for image in asked.images[:1]:
        parts += ["--image", str(image.source)]
    for name in tab.erasers:
        parts += ["--eraser", str(bench.eraser_folders()[name])]
    return shlex.join([*parts, "--max-new-tokens", str(tab.how.tokens), "--seed", str(tab.how.seed)])


def _whole(value: str | None, default: int = 0, least: int = 0, most: int = 2**31 - 1) -> int:
    return min(max(int(value), least), most) if value and value.isdecimal() else default
