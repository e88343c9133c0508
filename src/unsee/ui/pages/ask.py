"""Ask: one conversation, answered by the model as it is, by the erased one, and by one that never knew."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import final

from nicegui import ui

from unsee.data import ImageFile
from unsee.data.sample import Turn
from unsee.erase.eraser import Eraser
from unsee.errors import UnseeError
from unsee.ui.answer import Answered, How
from unsee.ui.bench import MOST, Bench
from unsee.ui.frame import command, frame, guarded, heading, image_input, notice, thumbnail, thumbnails, world_faces
from unsee.ui.pages.panes import BASE, ERASED, SERVED, TWIN, details, failed, pane
from unsee.ui.settings import MOST_SEED, MOST_TOKENS, REPLIES, Settings

Ask = Callable[[Sequence[Turn], How, Callable[[str], None], threading.Event], Awaitable[Answered]]
LONGEST = 20_000
"""Characters of one question."""


@final
@dataclass
class _Tab:
    """What is one tab's own."""

    settings: Settings
    turns: list[Turn] = field(default_factory=list)
    images: list[ImageFile] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)


def ask_page(bench: Bench, query: dict[str, str]) -> None:
    """The page; `query` is of a link to an earlier run."""
    names = bench.eraser_names()
    tab = _Tab(Settings.of(query, list(names)))
    ui.context.client.on_delete(lambda: tab.stop.set())
    with frame(bench, "/"), ui.element("div").classes("two"):
        with ui.element("div").classes("stack"):
            heading("Conversation")
            said = (
                ui.element("div")
                .props('aria-live="polite" tabindex="0" role="log" aria-label="Conversation"')
                .classes("w-full said")
            )
            shown = ui.row()
            draw = thumbnails(tab.images, shown)

            def redraw() -> None:
                draw()
                _turns(tab, said)

            asked = query.get("question", "")[:LONGEST]
            question = ui.textarea("Question", value=asked).classes("w-full")
            question.props(f"outlined autogrow maxlength={LONGEST}")
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
            _controls(bench, tab.settings, names)
        results = ui.element("div").classes("w-full").style("grid-column: 1 / -1")
        go.on_click(lambda: _run(bench, tab, question, results, redraw, go, halt))
    redraw()


def _controls(bench: Bench, chosen: Settings, names: dict[str, str]) -> None:
    if bench.served is not None:
        notice("What is in force is the server's to say: its ledger and the key's tenant.")
    elif names:
        erasers = ui.select(names, multiple=True, value=chosen.erasers, label="Erasers").classes("w-full")
        erasers.props("outlined use-chips").bind_value_to(chosen, "erasers")
    else:
        ui.label("No eraser yet: make one under Forget, or start with --eraser.").classes("dim")
    with ui.expansion("Reply, lengths and chance").classes("w-full"), ui.element("div").classes("stack"):
        if bench.served is None:
            shown = {one: "as each was fitted" if one == "fitted" else one for one in REPLIES}
            reply = ui.select(shown, value=chosen.reply, label="Reply where a gate is open").classes("w-full")
            reply.props("outlined").bind_value_to(chosen, "reply")
            words = ui.input("Words of prefix and canned", value=chosen.words).classes("w-full")
            words.props("outlined").bind_value_to(chosen, "words", forward=lambda v: v or "")
            _number("Coefficient, as a multiple of the fitted one", chosen.coefficient, 4.0, 0.1).bind_value_to(
                chosen, "coefficient", forward=lambda v: float(v if v is not None else 1)
            )
        system = ui.input("System prompt", value=chosen.system).classes("w-full").props("outlined")
        system.bind_value_to(chosen, "system", forward=lambda v: v or "")
        for label, name, least, most in (
            ("Longest answer, tokens", "tokens", 1, MOST_TOKENS), ("Seed", "seed", 0, MOST_SEED),
        ):  # fmt: skip
            _number(label, getattr(chosen.how, name), most, 1, least).on_value_change(
                lambda e, name=name, least=least: chosen.changed(name, int(e.value if e.value is not None else least))
            )
        _number("Temperature (0: greedy)", chosen.how.temperature, 3.0, 0.1).on_value_change(
            lambda e: chosen.changed("temperature", float(e.value or 0))
        )


def _number(label: str, value: float, most: float, step: float, least: float = 0) -> ui.number:
    precision = 0 if step == 1 else 2
    made = ui.number(label, value=value, min=least, max=most, step=step, precision=precision)
    return made.props("outlined").classes("w-full")


def _add(tab: _Tab, image: ImageFile, redraw: Callable[[], None]) -> None:
    held = len(tab.images) + sum(isinstance(part, ImageFile) for turn in tab.turns for part in turn.parts)
    if held >= MOST:
        ui.notify(f"Not taken: a conversation holds at most {MOST} images.", type="negative")
        return
    tab.images.append(image)
    redraw()


def _over(tab: _Tab, redraw: Callable[[], None]) -> None:
    tab.stop.set()
    tab.turns = []
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
    if not text or len(text) > LONGEST:
        ui.notify(f"The question has {len(text):,} characters, expected 1 to {LONGEST:,}.", type="warning")
        return
    tab.stop, held, turn = threading.Event(), tab.turns, Turn("user", (*tab.images, text))
    chosen = replace(tab.settings, erasers=list(tab.settings.erasers))  # as they are now, whatever is changed meanwhile
    system = [Turn("system", (chosen.system,))] if chosen.system.strip() else []
    go.set_enabled(False)
    halt.set_enabled(True)
    try:
        answered = await guarded(lambda: _panes(bench, chosen, [*system, *held, turn], results, tab.stop))
    finally:
        go.set_enabled(True)
        halt.set_enabled(False)
    if answered is not None and tab.turns is held:
        tab.turns += [turn, Turn("assistant", (answered.text or "...",))]
        tab.images.clear()
        if (question.value or "").strip() == text:
            question.set_value("")
        redraw()


async def _panes(
    bench: Bench, chosen: Settings, turns: list[Turn], results: ui.element, stop: threading.Event
) -> Answered | None:
    """Ask everybody at once; what the conversation goes on with."""
    names, folders = bench.eraser_names(), bench.eraser_folders()  # as they are now: a folder may go meanwhile
    erasers = {} if bench.served is not None else {name: bench.eraser(name) for name in chosen.erasers}
    panes, called = _who_answers(bench, chosen, erasers.values()), _called(names, erasers)
    results.clear()
    with results:
        with ui.element("div").classes("panes"):
            boxes = [pane(name) for name, _ in panes]
        again = ui.element("div").classes("stack w-full")
    asked = [
        _one(name, partial(ask, turns, chosen.how), stop, called, *box)
        for (name, ask), box in zip(panes, boxes, strict=True)
    ]
    made = {name: one for (name, _), one in zip(panes, await asyncio.gather(*asked), strict=True) if one is not None}
    if len(made) < len(panes):
        return None
    with again:
        heading("The same again")
        ui.link("Link to this question and these settings", chosen.link(turns[-1].text))
        ui.label("Images and earlier turns are not in the link.").classes("dim")
        if bench.served is None:  # what is in force on a server is not ours to name
            if erasers:
                ui.label(f"With the erasers: {'; '.join(names[one] for one in erasers)}.").classes("dim")
            command(chosen.command(bench.model, folders, turns))
    return made.get(ERASED) or next(iter(made.values()))


async def _one(
    name: str, ask: Callable[..., Awaitable[Answered]], stop: threading.Event, called: dict[str, str],
    box: ui.element, answer: ui.label,
) -> Answered | None:  # fmt: skip
    """One pane; what goes wrong in it is said in it, and the others are answered."""
    written: list[str] = []

    def tell(piece: str) -> None:
        written.append(piece)
        answer.set_text("".join(written))

    try:
        made = await ask(tell, stop)
    except UnseeError as error:
        failed(answer, str(error))
        return None
    answer.set_text(made.text or "(nothing)")
    with box:
        details(made, name, called)
    return made


def _called(names: Mapping[str, str], erasers: Mapping[str, Eraser]) -> dict[str, str]:
    """What the operator calls whom the gates are for, by pseudonymous id."""
    return {
        id: names[name] if len(one.subjects) == 1 else f"{names[name]}: {id}"
        for name, one in erasers.items() for id in one.subjects
    }  # fmt: skip


def _who_answers(bench: Bench, chosen: Settings, given: Iterable[Eraser]) -> list[tuple[str, Ask]]:
    """Name of each pane, and what answers in it."""
    if bench.served is not None:
        return [(SERVED, bench.served.answer)]
    plain, steered = bench.panes
    erasers = [chosen.applied(one, steered.loaded) for one in given]
    panes: list[tuple[str, Ask]] = [(BASE, partial(plain.answer, ()))]
    if erasers:
        panes.append((ERASED, partial(steered.answer, erasers)))
    if bench.twin is not None:
        panes.append((TWIN, partial(bench.twin.answer, ())))
    return panes
