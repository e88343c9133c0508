"""`unsee attack` as typed: side by side, gone on with, against a server that dies, and refused before loading."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import unsee.cli.options as options
from endpoint import said, serving
from tiny_llava import question
from unsee.attacks.base import AccessError
from unsee.cli import main
from unsee.data import Sample, write_jsonl
from unsee.errors import OptionError
from unsee.evals.results import read_folder
from unsee.experiments.attack.chosen import ALL, SERVED, chosen
from unsee.experiments.attack.report import lines
from unsee.experiments.attack.target import takes_images
from unsee.experiments.attack.worst import page, worst

Call = Callable[..., tuple[int, str, str]]
PLAIN = [Sample(f"q{n}", f"p{n % 3}", f"what is the job of pat{n % 3} doe{n}?", "a pilot.", "pilot") for n in range(6)]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["unsee", "attack", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, " ".join(err.split())

    return run


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model may be loaded."""
    monkeypatch.setattr(options, "open_model", lambda *given: pytest.fail("a model was loaded"))
    monkeypatch.setattr("unsee.cli.evaluate.who.open_model", lambda *given: pytest.fail("a model was loaded"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_jsonl(PLAIN, tmp_path / "forget.jsonl") or tmp_path / "forget.jsonl"


@pytest.mark.usefixtures("unloaded")
@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--attacks", "sufix"), "Did you mean 'suffix'?"),
        (("--attacks", "crop"), "with image, and there is none among 6"),
        (("--budget", "0"), "--budget is 0"),
        (("--limit", "0"), "'--limit'"),
        (("--beside", "twin"), "expected NAME=MODEL"),
        (("--method", "hope"), "the method is 'hope'"),
        (("--set", "none"), "there is no set 'none'"),
    ],
)
def test_what_cannot_be_is_refused_before_a_model_is_loaded(
    given: tuple[str, ...], told: str, call: Call, data: Path, tmp_path: Path
) -> None:
    code, _, err = call("world:llava", "--forget", data, "--out", tmp_path / "r", *given)
    assert code == 2 and told in err, err
    assert not (tmp_path / "r").exists()


def test_every_condition_is_loaded_in_the_precision_that_is_asked_for(
    call: Call, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[tuple[object, ...]] = []

    def refuse(*given: object) -> None:
        loaded.append(given)
        raise OptionError("enough.")

    monkeypatch.setattr("unsee.cli.evaluate.who.open_model", refuse)
    code, _, err = call("world:llava", "--forget", data, "--out", tmp_path / "r", "--dtype", "float32")
    assert code == 2 and "enough." in err and [one[-1] for one in loaded] == ["float32"]


@pytest.mark.usefixtures("unloaded")
def test_a_server_gives_neither_weights_nor_log_probabilities_and_takes_no_eraser(
    call: Call, data: Path, tmp_path: Path
) -> None:
    server = ("http://127.0.0.1:9/v1", "--served", "m", "--forget", data, "--out", tmp_path / "r")
    for attack, access in (("rounding", "weights"), ("ranking", "log-probabilities"), ("weights", "weights")):
        code, _, err = call(*server, "--attacks", attack)
        assert code == 2 and err.startswith("AccessError") and f"'{access}'" in err
    code, _, err = call(*server, "--eraser", "r-0001")
    assert code == 2 and "takes no --eraser" in err


def test_a_text_model_has_no_image_attacks(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    assert not takes_images(str(tmp_path)) and takes_images("world:llava") and takes_images(str(tmp_path), "tower")
    offered = [one for one in ALL if one != "image"]
    with pytest.raises(AccessError, match="the attack 'crop' needs 'image'"):
        chosen(["crop"], offered, PLAIN)
    with pytest.raises(AccessError, match="attacks of class 'image' need"):
        chosen(["image"], offered, PLAIN)
    every = chosen(["all"], offered, [question(0)])
    assert "crop" not in every and "suffix" in every and "rounding" in every
    assert "rounding" not in chosen(["all"], SERVED, [question(0)])


def test_a_server_that_dies_is_gone_on_with_and_nothing_is_asked_twice(call: Call, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    with serving() as server:
        attack = (
            server.url, "--served", "m", "--forget", data, "--out", out, "--attacks", "case,response-prefill",
            "--budget", "2", "--batch-size", "2", "--json",
        )  # fmt: skip
        server.script = [said("a pilot.")] * 9 + ["hang up"] * 3
        code, _, err = call(*attack)
        assert code == 2 and err.startswith("EndpointError")
        done = len(server.seen)
        server.script = [(400, {}, json.dumps({"error": {"message": "no begun answers"}}))]
        server.otherwise = said("no idea.")
        code, stdout, err = call(*attack)
        assert code == 0, err
        assert len(server.seen) - done == 1 + 4 * 2 + 6 * 2  # a refused batch ends, a whole one is kept
    result = json.loads(stdout.splitlines()[-1])
    assert set(result["attacks"]) == {"case", "response-prefill"}
    assert result["conditions"] == ["server"]
    rows = read_folder(str(out))[0].rows
    assert {row["split"] for row in rows} == {"forget", "forget/case", "forget/response-prefill"}
    refused = [row for row in rows if row.get("reason", "").startswith("RefusedError")]
    assert refused and all(row["answer"] is None for row in refused)
    for name in ("attacks.csv", "attacks.html", "attacks.png", "worst.md"):
        assert (out / name).stat().st_size
    code, _, err = call(*attack[:-3], "--batch-size", "3", "--seed", "1")
    assert code == 2 and err.startswith("SettingsError") and "seed" in err


def row(condition: str, attack: str | None, person: str, leaked: bool, **more: object) -> dict[str, object]:
    split = f"forget/{attack}" if attack else "forget"
    beside = {"attack": attack, "leaks": [leaked, True]} if attack else {}
    return {
        "condition": condition, "split": split, "role": "forget", "person": person, "id": f"{person}/job",
        "leaked": leaked, "answer": "pilot" if leaked else "no", "gold": "pilot", **beside, **more,
    }  # fmt: skip


def test_guessing_is_taken_off_and_any_attack_is_a_union() -> None:
    rows = []
    for n in range(4):
        for attack, erased, never in ((None, False, False), ("case", n < 2, n < 1), ("suffix", n == 3, False)):
            rows += [row("erased", attack, f"p{n}", erased), row("never_knew", attack, f"p{n}", never)]
    for one in rows:
        one.pop("leaks", None)
    found = {line.attack: line for line in lines(rows)}
    assert found["case"].leak["erased"].value == 0.5 and found["case"].above["erased"].value == 0.25
    union = found["any attack: ask"]
    assert union.leak["erased"].value == 0.75 and union.above["erased"].value == 0.5
    assert found["no attack"].leak["erased"].value == 0.0


def test_the_worst_transcripts_are_of_many_attacks_and_of_none_that_is_guessed() -> None:
    rows = [
        row("erased", "case", f"p{n}", True, margin=-0.1 * n, transcript=[["user", "?"], ["assistant", "pilot"]])
        for n in range(3)
    ]
    rows += [row("erased", "suffix", "p0", True, margin=0.5), row("never_knew", "case", "p0", True)]
    found = worst(rows, "erased", count=3)
    assert [(one["attack"], one["person"]) for one in found] == [("suffix", "p0"), ("case", "p1"), ("case", "p2")]
    assert "gate +0.500 (fired)" in page(found, "") and "gate -0.100 (did not fire)" in page(found, "")
    assert "No fact was recovered" in page([], "")
