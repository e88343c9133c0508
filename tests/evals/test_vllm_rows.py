"""A real vLLM answers an evaluation: the rows are those of transformers, with erasers in force and without."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("vllm", reason="vLLM has an environment of its own: tests/serve/run.sh")
os.environ |= {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "HF_HUB_OFFLINE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}

from tests.serve.served import erasers_of, questions

from planning import plan_of
from unsee.data.jsonl import write_jsonl
from unsee.data.sample import Sample
from unsee.erase.artifact import read_config
from unsee.erase.eraser import Eraser
from unsee.evals.answerers import Local
from unsee.evals.compare import compare
from unsee.evals.evaluate import Condition, evaluate
from unsee.evals.results import read_results
from unsee.models.load import LoadedModel, load
from unsee.models.names import shipped
from unsee.serve.engine.offline import Vllm

OPTIONS: dict[str, Any] = {"max_model_len": 512, "enforce_eager": True, "max_num_seqs": 16}
MEASURES = ["leak", "rougeL-f", "probability"]


@pytest.fixture(scope="module")
def library() -> LoadedModel:
    return load(shipped("llava"), dtype="float32")


@pytest.fixture(scope="module")
def asked() -> list[Sample]:
    return [sample for samples in questions(people=3, each=2).values() for sample in samples]


@pytest.fixture(scope="module")
def folder(library: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("eraser") / "e"
    erasers_of(library, questions(people=3), 1)[0].save_pretrained(out)
    return out


def rows_in(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]


def test_rows_are_equal_base_and_erased(
    library: LoadedModel, asked: list[Sample], folder: Path, tmp_path: Path
) -> None:
    plan = plan_of(
        "forget_heldout", asked, measures=MEASURES, attacks=["sampling"], max_new_tokens=12, batch_size=8, tries=2
    )
    content_id = read_config(folder, "eraser").content_id
    conditions: dict[str, dict[str, Path]] = {"base": {}, "erased": {content_id: folder}}
    said: dict[str, list[str]] = {}
    for condition, given in conditions.items():
        engine = Vllm(library, str(shipped("llava")), given, OPTIONS, keep_model=True)
        erasers = [Eraser.from_pretrained(path) for path in given.values()]
        here = Local(library, erasers, list(given))
        for name, answering in (("vllm", engine), ("again", engine), ("transformers", here)):
            evaluate([Condition.of(condition, answering)], plan, tmp_path / name / condition)
        rows, again, truth = (rows_in(tmp_path / name / condition) for name in ("vllm", "again", "transformers"))
        assert rows == again, "also what is drawn: seeds are the questions' own"
        assert all(one.keys() == other.keys() for one, other in zip(rows, truth, strict=True))
        said[condition], there = [row["answer"] for row in rows], [row["answer"] for row in truth]
        if condition == "base":
            assert said[condition] == there
        # This eraser is random and breaks text, where the last bits decide; which rows it changes they do not.
        assert [new != old for new, old in zip(said[condition], said["base"], strict=True)] == [
            new != old for new, old in zip(there, said["base"], strict=True)
        ]
        # Batches of another order pad otherwise, which moves the last bits.
        kept = [at for at, (new, old) in enumerate(zip(there, said["base"], strict=True)) if new == old]
        assert [rows[at]["measures"].get("probability") or 0.0 for at in kept] == pytest.approx(
            [truth[at]["measures"].get("probability") or 0.0 for at in kept], abs=1e-5
        )
        assert all(len(row["tries"]) == 2 for row in rows if row["split"] == "forget_heldout/sampling")
    print(len(asked), "answers,", sum(map(str.__ne__, said["base"], said["erased"])), "changed by the eraser")
    assert said["base"] != said["erased"]
    table = compare(read_results([str(tmp_path / "vllm" / condition) for condition in conditions]))
    assert "leak-at-k" in {line.measure for line in table.lines}


def test_the_command_line_with_an_engine_of_its_own_process(folder: Path, asked: list[Sample], tmp_path: Path) -> None:
    write_jsonl(asked[:4], tmp_path / "data")
    options = [f"--engine-option={name}={json.dumps(value)}" for name, value in OPTIONS.items()]
    command = [
        sys.executable, "-m", "unsee", "eval", "world:llava", "--data", str(tmp_path / "data"), "--engine", "vllm",
        *options, "--eraser", str(folder), "--measure", "leak", "--max-new-tokens", "8", "--json",
        "--out", str(tmp_path / "r"),
    ]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if k != "VLLM_ENABLE_V1_MULTIPROCESSING"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1])["protocol"] == "honest", "nothing of vLLM's is on standard output"
    assert len(rows_in(tmp_path / "r")) == 4
    settings = json.loads((tmp_path / "r" / "settings.json").read_text())
    about = settings["conditions"]["erased"]
    assert (about["engine"], about["engine_options"]) == ("vllm", OPTIONS)
