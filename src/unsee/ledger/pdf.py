"""The dossier on A4 pages. Lines are set one under the other by measured widths; matplotlib draws them as text."""

from bisect import bisect_right
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, final

from matplotlib import rc_context
from matplotlib.backends.backend_pdf import FigureCanvasPdf, PdfPages
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, get_font
from matplotlib.font_manager import findfont as font_file
from matplotlib.textpath import text_to_path

from unsee.ledger.dossier import share

WIDTH, HEIGHT, MARGIN = 595.0, 842.0, 56.0  # A4 in points
_INK, _MUTED, _LINE = "#1c1f24", "#5d646e", "#c9ccd1"
_MARKS = {"pass": "#22663a", "fail": "#a02c12", "untested": "#80600a"}
_SANS, _MONO = "DejaVu Sans", "DejaVu Sans Mono"  # come with matplotlib, so every machine sets the same lines


def write_pdf(told: dict[str, Any], path: Path) -> None:
    """Write the dossier; characters that the fonts lack are shown as a box, and stand in the page and the JSON."""
    # Type 42 keeps letters as letters, so that the document can be searched and read aloud.
    with rc_context({"pdf.fonttype": 42}), PdfPages(path, metadata={"Title": "Erasure requests"}) as file:
        sheet = _Sheet(file, f"unsee ledger {told['ledger'][:8]}, exported {_minute(told['made'])}")
        _front(sheet, told)
        for request in told["requests"]:
            sheet.turn()
            _request(sheet, request, told)
        sheet.finish()


@final
class _Sheet:
    """The page being filled; turns to a new one where the next block does not fit."""

    def __init__(self, file: PdfPages, footer: str) -> None:
        self._file, self._footer, self._number = file, footer, 0
        self._begin()

    def turn(self) -> None:
        """Go on on a new page."""
        self.finish()
        self._begin()

    def finish(self) -> None:
        """Write the page out."""
        self._put(MARGIN, 30, self._footer, 7.5, _MUTED)
        self._put(WIDTH - MARGIN, 30, str(self._number), 7.5, _MUTED, right=True)
        self._file.savefig(self._figure)

    def heading(self, text: str, size: float = 13) -> None:
        """A title that stays with what follows."""
        self._room(size * 3 + 30)
        self._y -= size * 1.5
        self._put(MARGIN, self._y, text, size, weight="bold")
        self._y -= size * 0.55

    def paragraph(self, text: str, size: float = 9, colour: str = _INK, indent: float = 0, mono: bool = False) -> None:
        """Wrapped text."""
        for line in wrapped(text, WIDTH - 2 * MARGIN - indent, size, mono):
            self._room(size * 1.45)
            self._y -= size * 1.45
            self._put(MARGIN + indent, self._y, line, size, colour, mono=mono)
        self._y -= size * 0.45

    def row(
        self,
        cells: Sequence[str],
        widths: Sequence[float],
        size: float = 8,
        colour: str = _INK,
        mark: str | None = None,
    ) -> None:
        """One line of a table over the whole width; `widths` are shares of it, `mark` colours the first cell."""
        full = WIDTH - 2 * MARGIN
        lines = [wrapped(cell, part * full - 8, size) for cell, part in zip(cells, widths, strict=True)]
        height = max(map(len, lines)) * size * 1.4 + 5
        self._room(height)
        left = MARGIN
        for index, (column, part) in enumerate(zip(lines, widths, strict=True)):
            tint = _MARKS.get(mark or "", colour) if index == 0 else colour
            for number, line in enumerate(column):
                self._put(left, self._y - size * 1.4 * (number + 1), line, size, tint)
            left += part * full
        self._y -= height
        self._figure.add_artist(_rule(self._y))

    def _begin(self) -> None:
        self._figure, self._number = Figure(figsize=(WIDTH / 72, HEIGHT / 72)), self._number + 1
        FigureCanvasPdf(self._figure)
        self._y = HEIGHT - MARGIN

    def _room(self, height: float) -> None:
        if self._y - height < MARGIN:
            self.turn()

    def _put(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        colour: str = _INK,
        weight: str = "normal",
        right: bool = False,
        mono: bool = False,
    ) -> None:
        family = _MONO if mono else _SANS
        self._figure.text(
            x / WIDTH,
            y / HEIGHT,
            shown(text, family),
            fontproperties=FontProperties(family=family, size=size, weight=weight),
            color=colour,
            ha="right" if right else "left",
            parse_math=False,
        )


def wrapped(text: str, width: float, size: float, mono: bool = False) -> list[str]:
    """Lines of at most `width` points; a word that is longer is broken."""
    family, lines = _MONO if mono else _SANS, list[str]()
    for part in text.split("\n"):
        line = ""
        for word in part.split():
            joined = f"{line} {word}" if line else word
            if measured(joined, family, size) <= width:
                line = joined
                continue
            if line:
                lines.append(line)
            line = word
            while measured(line, family, size) > width:
                fits = bisect_right(
                    range(1, len(line) + 1), width, key=lambda n, word=line: measured(word[:n], family, size)
                )
                lines.append(line[: max(1, fits)])
                line = line[max(1, fits) :]
        lines.append(line)
    return lines


@lru_cache(maxsize=4096)
def measured(text: str, family: str, size: float) -> float:
    """Width of a line in points."""
    font = FontProperties(family=family, size=size)
    return float(text_to_path.get_text_width_height_descent(shown(text, family), font, ismath=False)[0])


def shown(text: str, family: str) -> str:
    """The text with a box for every character that the font lacks."""
    return "".join(letter if ord(letter) in _letters(family) or letter == " " else "\u25a1" for letter in text)


@cache
def _letters(family: str) -> frozenset[int]:
    return frozenset(get_font(font_file(FontProperties(family=family))).get_charmap())


def _rule(y: float) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([MARGIN / WIDTH, 1 - MARGIN / WIDTH], [y / HEIGHT, y / HEIGHT], color=_LINE, linewidth=0.5)


def _front(sheet: _Sheet, told: dict[str, Any]) -> None:
    active, log = told["active_set"], told["log"]
    sheet.heading("Erasure requests", 20)
    sheet.paragraph(f"Ledger {told['ledger']}, exported {_minute(told['made'])}", 8.5, _MUTED)
    states = ", ".join(f"{count} {state}" for state, count in told["counts"].items() if count) or "none"
    models = f", on {', '.join(active['models'])}" if active["models"] else ""
    beyond = active["requests"] > active["certified"]
    sheet.paragraph(
        f"Requests in this document: {states}. In force together: {active['requests']}{models}; certified for up to "
        f"{active['certified']}." + (" Leaks and wrong refusals beyond that number are not known." if beyond else ""),
        10,
    )
    sheet.heading("What this is, and what it is not")
    for number, text in enumerate(told["is_not"]):
        sheet.paragraph(text if number else f"It is not deletion. {text}")
    for text in told["it_is"]:
        sheet.paragraph(text)
    sheet.paragraph("Never tested by the tests of this document:")
    for item in told["untested"]:
        sheet.paragraph(f"\u2013 {item}", indent=10)
    sheet.heading("All requests")
    widths = (0.24, 0.11, 0.13, 0.13, 0.2, 0.19)
    sheet.row(("request", "state", "received", "answer due", "answered", "last test"), widths, colour=_MUTED)
    for r in told["requests"]:
        v, decided = r["verification"], f" {r['decided'][:10]}" if r["decided"] else ""
        last = "none" if v is None else f"{'passed' if v['passed'] else 'failed'} {v['at'][:10]}"
        sheet.row((r["id"], r["state"], r["received"][:10], r["due"][:10], r["answered"] + decided, last), widths)
    sheet.heading("The log")
    sheet.paragraph(
        f"{'BROKEN' if log['failures'] else 'Sound'}: {log['rows']} rows, each with the hash of the one before. "
        f"{len(log['heads'])} signed head(s), {log['signatures_checked']} checked with the key. The newest row is"
    )
    sheet.paragraph(log["head"], 8, mono=True)
    for text in (*log["failures"], *log["remarks"]):
        sheet.paragraph(f"\u2013 {text}", 8.5, indent=10)
    sheet.paragraph(f"Set in force: {active['digest']}, code {active['code']}", 7.5, _MUTED)


def _request(sheet: _Sheet, r: dict[str, Any], told: dict[str, Any]) -> None:
    sheet.heading(f"Request {r['id']}: {r['state']}")
    facts = [
        ("subject", r["subject"]),
        ("scope", r["scope"]),
        ("legal basis", r["legal_basis"]),
        ("received", f"{_minute(r['received'])}, answer due {r['due'][:10]}: {r['answered']}"),
    ]
    artifact = r["artifact"]
    if artifact is not None:
        days = told["policy"]["artifact_days"]
        gone = " (files deleted)" if artifact["purged"] else ""
        kept = (
            f" (kept until {days} days after {artifact['released'][:10]})" if artifact["released"] and not gone else ""
        )
        about = artifact["about"]
        facts += [
            ("artifact", artifact["content_id"] + gone + kept),
            ("model", f"{artifact['model']['id']}, weights {artifact['model']['digest']}"),
            ("fit", f"{about['method']}, layers {', '.join(map(str, about['layers']))}; "
             + ", ".join(f"{name} {count} samples" for name, count in about["counts"].items())),
        ]  # fmt: skip
    for name, value in facts:
        sheet.row((name, value), (0.16, 0.84))
    v = r["verification"]
    if v is None:
        sheet.heading("Not verified", 11)
        sheet.paragraph("Nothing was measured for this request.")
    else:
        sheet.heading(f"Measured effect and neighbours' harm: {'passed' if v['passed'] else 'failed'}", 11)
        widths = (0.5, 0.11, 0.11, 0.2, 0.08)
        sheet.row(("what", "before", "after", "95 % interval", "n"), widths, colour=_MUTED)
        for line in v["effect"]:
            between = "" if line["interval"] is None else " to ".join(map(share, line["interval"]))
            before = "" if line["before"] is None else share(line["before"])
            sheet.row((line["what"], before, share(line["after"]), between, str(line["n"])), widths)
        beside, other = (
            v["measured"]["context"]["beside"],
            "" if v["current"] else " Of another artifact than held now.",
        )
        sheet.paragraph(
            f"Asked {_minute(v['at'])}, seed {v['measured']['context']['seed']}, greedy answers, beside {beside} other "
            f"active request(s). Intervals are over subjects; none for a single one.{other}",
            7.5,
            _MUTED,
        )
        sheet.heading(f"Against the policy: {len(v['failed'])} failed, {len(v['untested'])} untested", 11)
        for finding in v["findings"]:
            sheet.row(
                (finding["verdict"], finding["check"], finding["text"]), (0.1, 0.28, 0.62), mark=finding["verdict"]
            )
    sheet.heading("What was done, by whom, and why", 11)
    widths = (0.06, 0.18, 0.19, 0.16, 0.41)
    sheet.row(("row", "when (UTC)", "what", "who", "why"), widths, colour=_MUTED)
    for step in r["history"]:
        when, clock = (_minute(step[name]).removesuffix(" UTC") for name in ("at", "clock"))
        when += "" if step["clock"] == step["at"] else f"\nclock: {clock}"
        own = [f"{name.replace('_', ' ')}: {step[name]}" for name in ("legal_basis", "scope") if step[name] != r[name]]
        sheet.row((str(step["row"]), when, step["event"], step["who"], "\n".join([step["why"], *own])), widths)


def _minute(text: str) -> str:
    return f"{text[:10]} {text[11:16]} UTC"
