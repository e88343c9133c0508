"""A request from a name and one image, end to end: on the built-in world, and on a model that knows nothing."""

import json
from pathlib import Path

import pytest

from tiny_llava import noise_image, tiny_llava
from unsee.erase.eraser import Eraser
from unsee.erase.request.request import request
from unsee.errors import UnknownSubjectError
from unsee.forgetting.before import unknown_answers
from unsee.forgetting.run import forget
from unsee.models.load import load
from unsee.serve.engine.resident import require_served
from unsee.world.generate import World
from unsee.world.splits import image


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNSEE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_model_that_knows_nothing_stops_the_request_with_its_evidence(tmp_path: Path) -> None:
    with pytest.raises(UnknownSubjectError, match="Ada Lovelace"):
        forget(tiny_llava(), request("Ada Lovelace", erase="job", images=[noise_image(1)]), tmp_path / "r")
    lines = (tmp_path / "r" / "before.jsonl").read_text().splitlines()
    assert {json.loads(line)["way"] for line in lines} == {"name", "image"}
    assert not (tmp_path / "r" / "eraser").exists()


def test_answers_about_invented_subjects_are_kept_with_the_model(cache: Path) -> None:
    model = tiny_llava()
    first = [answer.text for answer in unknown_answers(model, "topic")]
    kept = list((cache / "unknown").glob("*.json"))
    assert len(kept) == 1
    kept[0].write_text(json.dumps(["kept"] * len(first)))
    assert {answer.text for answer in unknown_answers(model, "topic")} == {"kept"}
    assert {answer.text for answer in unknown_answers(tiny_llava(seed=1), "topic")} != {"kept"}


@pytest.mark.slow
def test_a_name_and_one_view_are_enough_on_the_world(tmp_path: Path) -> None:
    world = World()
    person = world.of("private")[3]
    asked = request(person.name, images=[image(world, person, 5)])
    done = forget(load("world:llava"), asked, tmp_path / "r")
    facts = {phrase for phrases in done.before.by_name.facts.values() for phrase in phrases}
    assert {person.facts["job"], person.facts["city"], person.facts["pet"]} <= facts
    assert done.before.by_image is not None and done.before.by_image.facts["name"] == (person.name,)
    held = [row for row in done.report.rows if row.held and row.before]
    assert sum(row.scored * row.before for row in held if row.before) > 40
    assert done.report.leak is not None and done.report.leak <= 0.1
    assert all((one.refused or 0) <= 0.2 for one in done.report.allowances)
    written = (tmp_path / "r" / "eraser" / "eraser.safetensors").read_bytes()
    for secret in (person.name, *person.facts.values()):
        assert secret.encode() not in written, "a name or a fact is in what leaves the operator's folder"
    assert Eraser.from_pretrained(tmp_path / "r" / "eraser").subjects == done.eraser.subjects
    require_served(done.eraser, done.content_id)
    evidence = (tmp_path / "r" / "before.jsonl").read_text(encoding="utf-8").splitlines()
    assert any(person.facts["job"] in json.loads(line)["answer"] for line in evidence)
