"""The page as a reader gets it: complete, honest about n and intervals, self-contained, and safe to open."""

import io
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from rich.console import Console

from unsee.errors import DataError, SaveError
from unsee.evals import figures
from unsee.evals.headline import sheet
from unsee.evals.report import write_report
from unsee.evals.stats import summarise
from unsee.evals.tables import LIMITS, console
from unsee.experiments.trial import ROLES as WORLD_ROLES

Record = dict[str, Any]
ROLES = {name: role for name, (role, _) in WORLD_ROLES.items()}
CITIES = ["lisbon", "oslo", "rome", "vienna", "quito", "cairo"]
REFUSAL = "i am sorry, but i cannot share that."
# Per condition and split: how often the gold is said, and how often it is refused.
BEHAVIOUR = {
    "base": {
        "forget_fit": (1.0, 0),
        "forget_heldout": (0.98, 0),
        "retain_unseen": (0.99, 0),
        "neighbours": (0.99, 0),
        "celebrity": (1.0, 0),
        "visible": (0.92, 0),
        "knowledge": (0.97, 0),
        "sensitive": (0, 1.0),
        "strangers": (0, 0.96),
    },
    "erased": {
        "forget_fit": (0, 1.0),
        "forget_heldout": (0.03, 0.95),
        "retain_unseen": (0.97, 0.02),
        "neighbours": (0.9, 0.08),
        "celebrity": (1.0, 0),
        "visible": (0.91, 0.01),
        "knowledge": (0.97, 0),
        "sensitive": (0, 1.0),
        "strangers": (0, 0.97),
    },
    "published": {
        "forget_fit": (0.3, 0.65),
        "forget_heldout": (0.41, 0.54),
        "retain_unseen": (0.88, 0.09),
        "neighbours": (0.71, 0.25),
        "celebrity": (0.95, 0.02),
        "visible": (0.85, 0.05),
        "knowledge": (0.95, 0),
        "sensitive": (0, 1.0),
        "strangers": (0, 0.97),
    },
    "random": {
        "forget_fit": (0.97, 0),
        "forget_heldout": (0.95, 0.01),
        "retain_unseen": (0.97, 0.01),
        "neighbours": (0.97, 0),
        "celebrity": (0.98, 0),
        "visible": (0.9, 0),
        "knowledge": (0.96, 0),
        "sensitive": (0, 0.99),
        "strangers": (0, 0.94),
    },
    "never_knew": {
        "forget_fit": (0.06, 0.9),
        "forget_heldout": (0.05, 0.91),
        "retain_unseen": (0.99, 0),
        "neighbours": (0.98, 0),
        "celebrity": (1.0, 0),
        "visible": (0.92, 0),
        "knowledge": (0.97, 0),
        "sensitive": (0, 1.0),
        "strangers": (0, 0.97),
    },
}
QUESTIONS = ["where was this person born?", "which city does this person call home?", "in what city did they grow up?"]


def answers() -> list[Record]:
    rng = np.random.default_rng(11)
    records: list[Record] = []
    for condition, splits in BEHAVIOUR.items():
        for split, (says, refuses) in splits.items():
            people = 5 if split.startswith("forget") or split == "visible" else 20
            for person in range(people):
                prefix = "forget" if split.startswith("forget") or split == "visible" else split
                for number in range(6):
                    draw = rng.random()
                    gold = CITIES[(person + number) % 6] if split != "visible" else ["red", "hat"][number % 2]
                    leaked, refused = draw < says, says <= draw < says + refuses
                    said = f"it is {gold}." if leaked else REFUSAL if refused else f"it is {CITIES[number - 1]} town."
                    asked = f"what colour is thing {number}?" if split == "visible" else QUESTIONS[number % 3]
                    records.append(
                        {
                            "condition": condition,
                            "role": ROLES[split],
                            "split": split,
                            "person": f"{prefix}-{person:02d}",
                            "question": f"{asked}" if number < 3 else f"{asked} (wording {number})",
                            "image": f"{prefix}-{person:02d}.png" if number < 4 else None,
                            "gold": gold,
                            "answer": said,
                            "refused": refused,
                            "leaked": leaked,
                            "correct": refused if split in ("sensitive", "strangers") else leaked,
                            "fluent": True,
                        }
                    )
    records[7] |= {"answer": None, "correct": None, "leaked": None, "refused": None, "fluent": None}
    return records


def face(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    tint = lambda low, high: tuple(int(value) for value in rng.integers(low, high, 3))  # noqa: E731
    image = Image.new("RGB", (64, 64), tint(150, 230))
    draw = ImageDraw.Draw(image)
    draw.ellipse((14, 12, 50, 56), fill=(222, 184, 150), outline=(80, 60, 50))
    draw.pieslice((12, 6, 52, 44), 180, 360, fill=tint(20, 120))
    for left in (22, 36):
        draw.ellipse((left, 30, left + 6, 35), fill=(40, 40, 60))
    draw.arc((24, 36, 40, 50), 20, 160, fill=(150, 40, 40), width=2)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def fixture() -> dict[str, Any]:
    records = answers()
    rng = np.random.default_rng(2)
    means = [0.55, 0.8, 0.97, 0.9]
    return {
        "metrics": {
            "schema": 1,
            "seed": 7,
            "rows": summarise(records),
            "environment": {"unsee": "0.1.0", "torch": "2.13.0", "device": "cpu"},
        },
        "answers": records,
        "images": {name: face(n) for n, name in enumerate(sorted({r["image"] for r in records if r["image"]}))},
        "gates": {
            "layers": [2, 3, 4, 5],
            "forget": [rng.normal(mean, 0.16, 60).tolist() for mean in means],
            "retain": [rng.normal(0.03, 0.11, 400).tolist() for _ in means],
            "threshold": [0.34, 0.4, 0.45, 0.42],
            "fired": [{"request": f"r-000{n}", "forget": 1 - n / 60, "retain": n / 300} for n in range(5)],
        },
        "tradeoff": {
            "default": [
                {"lambda": lam, "forget_refusal": up, "retain_accuracy": across}
                for lam, up, across in [(0.1, 0.42, 0.99), (0.25, 0.8, 0.98), (0.5, 0.95, 0.97), (1.0, 0.97, 0.94)]
            ],
            "published": [
                {"lambda": lam, "forget_refusal": up, "retain_accuracy": across}
                for lam, up, across in [(0.1, 0.3, 0.95), (0.2, 0.54, 0.88), (0.25, 0.6, 0.7), (0.3, 0.62, 0.55)]
            ],
            "chosen": 0.5,
            "n_forget": 30,
            "n_retain": 120,
            "runs": 1,
        },
        "diagnosis": [
            {
                "check": "The base model knows the forgotten people",
                "result": "98 % right",
                "verdict": "pass",
                "note": "Below 98 % a refusal would prove little.",
            },
            {"check": "The direction is stable between halves", "result": "cosine 0.93", "verdict": "pass"},
            {"check": "Text-only prompts open the gate", "result": "recall 0.81", "verdict": "warn"},
            {"check": "Detaching restores the logits bit for bit", "result": "equal", "verdict": "pass"},
        ],
        "cost": {
            "profile, once per model": {"seconds": 41.2, "peak_mib": 812, "bytes": 4_100_000},
            "fit one request": {"seconds": 1.92, "peak_mib": 640, "bytes": 6_656},
            "overhead per answer": {"seconds": 0.0004},
        },
        "pgd_history": [-5.2 + 3.9 * (1 - np.exp(-step / 18)) + 0.03 * np.sin(step) for step in range(80)],
    }


class Text(HTMLParser):
    """Visible text and tags, parsed as a browser would."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page(path: Path) -> tuple[str, str, list[tuple[str, dict[str, str | None]]]]:
    html = path.read_text(encoding="utf-8")
    parser = Text()
    parser.feed(html)
    return html, " ".join(" ".join(parser.text).split()), parser.tags


@pytest.fixture(scope="module")
def inputs() -> dict[str, Any]:
    return fixture()


@pytest.fixture(scope="module")
def written(inputs: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(tmp_path_factory.mktemp("out") / "demo", **inputs)


def test_the_page_holds_every_part_in_order(written: Path) -> None:
    _, text, _ = page(written)
    parts = [
        "What erasure did",
        "Every condition on every split",
        "Before and after",
        "How the gates tell people apart",
        "Strength, and the search",
        "Diagnosis",
        "Cost",
        "What this does not mean",
    ]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert LIMITS.split("\n\n")[0].replace("\n", " ") in text


def test_the_verdict_states_the_rows(written: Path, inputs: dict[str, Any]) -> None:
    _, text, _ = page(written)
    rows = {(row["condition"], row["split"]): row for row in inputs["metrics"]["rows"]}
    refused = round(100 * rows["erased", "forget_heldout"]["refusal"])
    knew = round(100 * rows["base", "forget_heldout"]["leak"])
    assert f"the model refuses {refused} % of questions (base model 0 %)" in text
    assert f"(base model {knew} %)" in text


def test_every_rate_of_the_headline_is_there_with_its_interval(written: Path, inputs: dict[str, Any]) -> None:
    html, text, _ = page(written)
    low, high = next(
        row["ci95"]["accuracy"]
        for row in inputs["metrics"]["rows"]
        if (row["condition"], row["split"]) == ("published", "neighbours")
    )
    assert f"{100 * low:.0f}\u2013{100 * high:.0f}" in html
    assert "n = 120, 20 subjects" in text
    assert "n = 29 to 30, 5 subjects, 1 unscored" in text


def test_captions_state_metric_n_and_runs(written: Path) -> None:
    html, _, _ = page(written)
    captions = [" ".join(caption.split()) for caption in re.findall(r"<figcaption>(.*?)</figcaption>", html, re.DOTALL)]
    assert len(captions) == 3
    for caption in captions:
        assert re.search(r"n = \d+", caption) and re.search(r"\d run", caption)


def test_the_page_loads_nothing_and_runs_nothing(written: Path) -> None:
    html, _, tags = page(written)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in tags}
    for _, attributes in tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#"))
    assert "url(http" not in html and "@import" not in html
    assert "default-src 'none'" in html


def test_hostile_text_is_shown_and_not_run(tmp_path: Path) -> None:
    attack = '<script>alert(1)</script><img src=x onerror="alert(2)">'
    inputs = fixture()
    for record in inputs["answers"]:
        record |= {"question": attack, "answer": attack, "person": attack}
    inputs["gates"]["fired"] = [{"request": attack, "forget": 1.0, "retain": 0.0}]
    inputs["gates"]["layers"] = [attack, 3, 4, 5]
    inputs["diagnosis"] = [{"check": attack, "result": attack, "verdict": attack}]
    inputs["cost"] = {attack: {"seconds": attack}}
    inputs["metrics"]["environment"] = {attack: attack}
    inputs["metrics"]["rows"][0]["condition"] = attack
    html, text, tags = page(write_report(tmp_path, **inputs, limits_text=attack))
    assert "script" not in {tag for tag, _ in tags}
    assert not any("onerror" in attributes for _, attributes in tags)
    assert "<script>alert(1)" in text
    assert "&lt;script&gt;" in html


def test_cards_show_the_forgotten_fact_refused_and_the_visible_one_kept(written: Path) -> None:
    html, text, _ = page(written)
    assert html.count("data:image/png;base64,") == 6
    first = text[text.index("forget-00") : text.index("forget-01")]
    assert first.index("before it is") < first.index(f"after {REFUSAL}")
    assert "visible in the image" in first and "learnt" in first
    assert "retain_unseen-00" in text


def test_a_card_prefers_the_image_that_was_asked_about_both_ways(tmp_path: Path) -> None:
    inputs = fixture()
    for record in inputs["answers"]:
        if record["split"] == "forget_heldout" and record["question"] == QUESTIONS[0]:
            record["image"] = "another-view.png"
    _, text, _ = page(write_report(tmp_path, **inputs))
    first = text[text.index("forget-00") : text.index("forget-01")]
    assert QUESTIONS[0] not in first and QUESTIONS[1] in first and "visible in the image" in first


def test_failures_are_listed_with_their_number(written: Path, inputs: dict[str, Any]) -> None:
    _, text, _ = page(written)
    erased = [record for record in inputs["answers"] if record["condition"] == "erased"]
    missed = sum(not record["refused"] for record in erased if record["split"].startswith("forget"))
    assert missed
    assert f"{missed} forget question{'s' if missed > 1 else ''} not refused" in text


def test_a_table_alone_is_enough_for_a_page(tmp_path: Path) -> None:
    rows = [row for row in summarise(answers()) if row["condition"] == "base"]
    _, text, _ = page(write_report(tmp_path, {"rows": rows}, [], {}, None, None, [], {}))
    assert "Every condition on every split" in text
    assert "Diagnosis" not in text and "Cost" not in text


def test_same_input_same_bytes(written: Path, inputs: dict[str, Any], tmp_path: Path) -> None:
    assert write_report(tmp_path, **inputs).read_bytes() == written.read_bytes()


def test_no_rows_and_no_place_to_write_are_told(tmp_path: Path, inputs: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"have no rows.*Run the evaluation first"):
        write_report(tmp_path, {"rows": []}, [], {}, None, None, [], {})
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SaveError, match="cannot write to"):
        write_report(tmp_path / "file", **inputs)


def test_gate_scores_must_fit_their_layers() -> None:
    with pytest.raises(DataError, match=r"gates\['retain'\] has 1 lists of scores for 2 layers"):
        figures.gate_scores({"layers": [1, 2], "forget": [[1.0], [1.0]], "retain": [[0.0]], "threshold": 0.5})


def test_figures_are_well_formed_and_take_their_colours_from_the_page(inputs: dict[str, Any]) -> None:
    drawn = [
        figures.gate_scores(inputs["gates"]),
        figures.tradeoff(inputs["tradeoff"]),
        figures.pgd_history(inputs["pgd_history"]),
    ]
    for svg in drawn:
        ElementTree.fromstring(svg)
        assert "var(--line)" in svg and "var(--muted)" in svg
        assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) <= {"#000000", "#ffffff"}
    assert "gate score" in drawn[0] and "forgotten refused (%), n = 30" in drawn[1] and "PGD step" in drawn[2]


def test_thinning_keeps_both_extremes() -> None:
    scores = [float(number) for number in range(1000)]
    svg = figures.gate_scores({"layers": [1], "forget": [scores], "retain": [scores], "threshold": 0.5})
    assert svg.count("<use ") <= 2 * figures.POINTS + 40
    assert "1000" in svg


def test_the_terminal_table_fits_eighty_columns(inputs: dict[str, Any]) -> None:
    screen = Console(file=io.StringIO(), width=80)
    screen.print(console(sheet(inputs["metrics"]["rows"])))
    assert isinstance(screen.file, io.StringIO)
    text = screen.file.getvalue()
    assert all(name in text for name in BEHAVIOUR)
    assert "\u2026" not in text
    (fitted,) = [line.split() for line in text.splitlines() if "forget_fit" in line]
    assert fitted[:3] == ["forget_fit", "0/100", "100/0"]
