"""Every question of some results, filtered, each down to image, answers, verdicts and gate readings."""

from dataclasses import dataclass
from functools import partial
from typing import final

from nicegui import ui

from unsee.ui.bench import Bench
from unsee.ui.frame import guarded, heading, picture
from unsee.ui.items import FLAGS, Item, Reply
from unsee.ui.labels import LABELS, note, usual
from unsee.ui.shown import Finder

PAGE = 20
"""Questions shown at once."""
_ANY = "any"


@final
@dataclass
class _Chosen:
    items: list[Item]
    set: str = _ANY
    person: str = _ANY
    form: str = _ANY
    verdict: str = _ANY
    words: str = ""
    first: int = 0

    def found(self) -> list[Item]:
        words = (self.words or "").casefold()
        return [
            one
            for one in self.items
            if self.set in (_ANY, one.split)
            and self.person in (_ANY, one.person)
            and self.form in (_ANY, one.form)
            and (self.verdict == _ANY or one.has(self.verdict))
            and (not words or words in one.searched)
        ]


def questions(bench: Bench, items: list[Item], finder: Finder) -> None:
    """Filters, and what they leave, a page at a time."""
    chosen = _Chosen(items)
    with ui.row().classes("w-full"):
        for label, name, options in (
            ("Set", "set", dict.fromkeys(one.split for one in items)),
            ("Person", "person", sorted({one.person for one in items})),
            ("Form", "form", dict.fromkeys(one.form for one in items if one.form)),
            ("Some reply is", "verdict", FLAGS),
        ):
            select = ui.select([_ANY, *options], value=_ANY, label=label, with_input=len(list(options)) > 8)
            select.props("outlined dense").style("min-width: 160px; flex: 1").bind_value_to(
                chosen, name, forward=lambda v: v or _ANY
            )
            select.on_value_change(lambda _: draw())
        words = ui.input("Person, question or answer has").props("outlined dense debounce=300 clearable")
        words.style("min-width: 200px; flex: 2").bind_value_to(chosen, "words")
        words.on_value_change(lambda _: draw())
    listed = ui.element("div").classes("w-full").props('aria-live="polite"')

    def draw(step: int = 0) -> None:
        found = chosen.found()
        chosen.first = min(max(chosen.first + step * PAGE if step else 0, 0), max(len(found) - 1, 0))
        last = min(chosen.first + PAGE, len(found))
        listed.clear()
        with listed:
            ui.label(f"{len(found)} questions" + (f"; {chosen.first + 1} to {last}" if found else "")).classes("dim")
            for one in found[chosen.first : last]:
                _item(bench, one, finder)
            with ui.row():
                ui.button("Earlier", on_click=lambda: draw(-1)).props("flat").set_enabled(chosen.first > 0)
                ui.button("Later", on_click=lambda: draw(1)).props("flat").set_enabled(last < len(found))

    draw()


def _item(bench: Bench, item: Item, finder: Finder) -> None:
    """One line that opens; what is inside is drawn when it is first opened."""
    with ui.expansion(f"{item.split} · {item.person} · {item.question}").classes("w-full").props("dense") as line:
        inside = ui.element("div").classes("stack w-full")

    def opened() -> None:
        if line.value and not inside.default_slot.children:
            with inside:
                _inside(bench, item, finder)

    line.on_value_change(opened)


def _inside(bench: Bench, item: Item, finder: Finder) -> None:
    with ui.row().classes("w-full"):
        if item.image:
            pixels = finder.find(item.image)
            if pixels is not None:
                picture(pixels, f"What was asked about, {item.image}", 140)
        with ui.element("div").style("flex: 1; min-width: 220px"):
            where = f" Image: {item.image}." if item.image else ""
            ui.label(f"{item.form.capitalize()}. Accepted: {item.gold or '-'}.{where}").classes("dim")
            ui.label(item.question)
    with ui.element("div").classes("panes"):
        for name, reply in item.replies.items():
            _reply(bench, item, name, reply)


def _reply(bench: Bench, item: Item, name: str, reply: Reply) -> None:
    with ui.element("div").classes("pane"):
        ui.label(name).style("font-weight: 600")
        ui.label(reply.text or reply.reason or "(nothing)").style("overflow-wrap: anywhere; white-space: pre-wrap")
        said = [f"{flag}: {'yes' if v else 'no'}" for flag in FLAGS if (v := reply.verdicts.get(flag)) is not None]
        if reply.reading is not None:
            said.append(f"gate: {reply.reading:+.2f}, {'open' if reply.reading >= 0 else 'shut'}")
        ui.label("; ".join(said) or "not scored").classes("dim")
        if not reply.reason:
            button = ui.button("Verdict is wrong", on_click=partial(_correct, bench, item, name))
            button.props("flat dense size=sm")
        if reply.transcript:
            with ui.expansion("The conversation").classes("w-full").props("dense"):
                for role, text in reply.transcript:
                    ui.label(f"{role}: {text}").style("overflow-wrap: anywhere; white-space: pre-wrap")
        if len(reply.tries) > 1:
            with ui.expansion(f"All {len(reply.tries)} answers").classes("w-full").props("dense"):
                for text, leaked in reply.tries:
                    ui.label(f"{'leaks: ' if leaked else ''}{text}").style("overflow-wrap: anywhere")


def _correct(bench: Bench, item: Item, condition: str) -> None:
    reply = item.replies[condition]
    with ui.dialog(value=True) as dialog, ui.card().style("width: min(92vw, 460px)").classes("stack"):
        heading("What is right?")
        ui.label(f"{item.question} - {reply.text}").style("overflow-wrap: anywhere")
        label = ui.select(LABELS, value=usual(reply.verdicts), label="The answer").props("outlined").classes("w-full")
        leak = ui.checkbox("It gives the fact away", value=bool(reply.verdicts.get("leaked")))
        leak.set_visibility(bool(item.gold))
        fluent = ui.checkbox("Its language is sound", value=reply.verdicts.get("fluent") is not False)
        path = bench.requests / "detector_labels.jsonl"
        ui.label(f"Added to {path}, in the shape of the detectors' hand labels.").classes("dim")

        async def save() -> None:
            async def saved() -> bool:
                note(path, item, condition, label.value or "answered", bool(leak.value), bool(fluent.value))
                return True

            if await guarded(saved):
                dialog.close()
                ui.notify("Noted.", type="positive")

        with ui.row():
            ui.button("Note it", on_click=save)
            ui.button("Cancel", on_click=dialog.close).props("flat")
