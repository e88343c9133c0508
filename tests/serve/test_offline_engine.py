"""vLLM's part of an evaluation, with a stand-in for vLLM: what it is given, and that it fails closed."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import unsee.serve.engine.offline as module
from planning import plan_of
from tiny_llava import noise_image, question, tiny_llava
from unsee.cli.evaluate.who import Who
from unsee.cli.options import Parts, parsed
from unsee.errors import OptionError, SteeringError
from unsee.evals.answerers import Draw, How, Local
from unsee.evals.evaluate import Condition, evaluate
from unsee.models.generate import encode
from unsee.models.load import LoadedModel
from unsee.serve.engine.carried import reports_of
from unsee.serve.engine.offline import IN_FORCE, Vllm, require_vllm
from unsee.serve.engine.plugin import engine_options
from unsee.serve.engine.tracking import CACHE, NO_SET, SET, TICKET
from unsee.serve.errors import EngineError
from unsee.serve.parity.canary import hatch

Made = Callable[..., tuple[Vllm, "Stand"]]
SOUND: dict[str, Any] = {
    "tokens": 2, "decided": True, "unreadable": False, "steered": 3, "required": 3, "highest": 0.1, "forced": 1,
    "due": 1,
}  # fmt: skip


class Stand:
    """Answers every prompt with its last word; reports what it is told to."""

    def __init__(self, path: str, **given: Any) -> None:
        if given.get("max_model_len") == "plenty":
            raise ValueError("not a number.")
        self.path, self.given = path, given
        self.asked: list[tuple[dict[str, Any], Any]] = []
        self.loaded: list[tuple[Any, ...]] = []
        self.report: Callable[[int], list[dict[str, Any]]] = lambda count: [SOUND] * count
        self.llm_engine = SimpleNamespace(output_processor=SimpleNamespace())

    def generate(self, prompts: Sequence[dict[str, Any]], parameters: Sequence[Any], use_tqdm: bool) -> list[Any]:
        self.asked += zip(prompts, parameters, strict=True)
        reports = reports_of(self.llm_engine)
        for number, one in enumerate(parameters):
            reports.expect(str(number), one.extra_args[TICKET])
        for number, report in enumerate(self.report(len(prompts))):
            reports.take(str(number), 2, report)
        return [SimpleNamespace(outputs=[SimpleNamespace(token_ids=one["prompt_token_ids"][-2:])]) for one in prompts]

    def collective_rpc(self, method: str, args: tuple[Any, ...]) -> list[Any]:
        assert method == "unsee_load"
        self.loaded.append(args)
        return [sorted(args[0])]


@pytest.fixture
def loaded() -> LoadedModel:
    return tiny_llava()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, loaded: LoadedModel) -> Made:
    stands: list[Stand] = []

    def part(path: str) -> Any:
        if path == "vllm:SamplingParams":
            return SimpleNamespace

        def start(*arguments: Any, **named: Any) -> Stand:
            stands.append(Stand(*arguments, **named))
            return stands[-1]

        return {"vllm:LLM": start}[path]

    async def flown(*_: Any, **__: Any) -> None:
        """The canary is tried on a real engine, in `test_vllm_rows.py`."""

    monkeypatch.setattr(module, "part", part)
    monkeypatch.setattr(module, "fly", flown)
    monkeypatch.setattr(module, "require_vllm", lambda: "0.0.0")

    def start(erasers: dict[str, Path] | None = None, **options: Any) -> tuple[Vllm, Stand]:
        engine = Vllm(loaded, "here", erasers or {}, options, keep_model=True)
        return engine, stands[-1]

    return start


def test_prompts_are_those_of_the_library_with_one_token_a_image(made: Made, loaded: LoadedModel) -> None:
    engine, stand = made()
    samples = [question(1, "who is this?"), question(2, "where does ann lee live?", image=False)]
    engine.answers(samples, How(5))
    place = loaded.processor.tokenizer.convert_tokens_to_ids("<image>")
    for (prompt, _), sample in zip(stand.asked, samples, strict=True):
        whole = encode(loaded, [sample])["input_ids"][0].tolist()
        seen = [token for n, token in enumerate(whole) if token != place or not n or whole[n - 1] != place]
        assert prompt["prompt_token_ids"] == seen
        assert ("multi_modal_data" in prompt) is (sample.image is not None)
    image = stand.asked[0][0]["multi_modal_data"]["image"]
    assert image.tobytes() == (samples[0].image.load().tobytes() if samples[0].image else b"")


def test_generation_settings_mean_what_transformers_means_by_them(made: Made, loaded: LoadedModel) -> None:
    own = loaded.model.generation_config
    own.repetition_penalty, own.temperature, own.top_k, own.top_p = 1.05, 0.7, None, 0.8
    engine, stand = made()
    for draw in (None, Draw(3 * 2**31 + 5, None), Draw(7, 1.0)):
        engine.answers([question(1), question(2)], How(5, draw=draw))
    given = [{k: v for k, v in vars(one).items() if k != "extra_args"} for _, one in stand.asked]
    assert given[0] == {"max_tokens": 5, "repetition_penalty": 1.05, "temperature": 0.0}
    assert given[2] == {
        "max_tokens": 5, "repetition_penalty": 1.05, "temperature": 0.7, "top_p": 0.8, "top_k": 50, "seed": 5,
    }  # fmt: skip
    assert given[4] == {"max_tokens": 5, "repetition_penalty": 1.05, "temperature": 1.0, "seed": 7}
    assert given[3]["seed"] == 6 and given[5]["seed"] == 8, "equal prompts of a batch are drawn apart"


def test_without_erasers_the_empty_set_decides(made: Made, loaded: LoadedModel) -> None:
    engine, stand = made(max_model_len=512)
    given = {name: stand.given[name] for name in ("dtype", "revision", "max_model_len")}
    assert given == {"dtype": "float32", "revision": None, "max_model_len": 512}
    assert engine.answers([question(1)], How(5))
    assert stand.loaded[-1] == ({}, {IN_FORCE: []}, NO_SET)
    extra = vars(stand.asked[0][1])["extra_args"]
    assert (extra[SET], extra[CACHE]) == (IN_FORCE, IN_FORCE)


@pytest.fixture
def steered(made: Made, loaded: LoadedModel, tmp_path: Path) -> tuple[Vllm, Stand]:
    eraser = hatch(loaded, (1, 2))[0].eraser
    return made({eraser.save_pretrained(tmp_path / "e"): tmp_path / "e"})


@pytest.mark.parametrize(
    ("report", "told"),
    [
        (lambda count: [], "reported on 0 of 2 prompts"),
        (lambda count: [SOUND | {"decided": False}] * count, "2 of them not steered as"),
        (lambda count: [SOUND | {"steered": 2}] * count, "2 of them not steered as"),
        (lambda count: [SOUND | {"unreadable": True}] * count, "2 of them not steered as"),
        (lambda count: [SOUND | {"forced": 0}] * count, "2 of them not steered as"),
    ],
)
def test_a_batch_that_was_not_steered_is_not_answered(
    report: Any, told: str, steered: tuple[Vllm, Stand], loaded: LoadedModel
) -> None:
    engine, stand = steered
    asked = [question(1), question(2)]
    assert len(engine.answers(asked, How(5))) == 2
    extra = [vars(one)["extra_args"] for _, one in stand.asked[-2:]]
    assert extra[0] == extra[1] and extra[0][SET] == IN_FORCE and extra[0][TICKET]
    stand.report = report
    with pytest.raises(SteeringError, match=told):
        engine.answers(asked, How(5))


def test_all_erasers_are_in_force_and_nothing_else(steered: tuple[Vllm, Stand]) -> None:
    folders, sets, mandated = steered[1].loaded[-1]
    assert sets == {IN_FORCE: list(folders)} and mandated == NO_SET and len(folders) == 1
    assert steered[1].given["additional_config"] == engine_options()["additional_config"]


def test_videos_are_refused_rather_than_asked_about_unseen(made: Made, loaded: LoadedModel) -> None:
    engine, stand = made()
    before, clip = len(stand.asked), replace(question(1), image=None, video=(noise_image(1), noise_image(2)))
    with pytest.raises(EngineError, match="'vllm', which is not asked about videos"):
        engine.answers([question(2), clip], How(5))
    assert len(stand.asked) == before


def test_illegal_options_are_refused(made: Made) -> None:
    with pytest.raises(OptionError, match=r"name \['additional_config', 'dtype'\], which unsee sets itself"):
        made(dtype="half", additional_config={})
    with pytest.raises(EngineError, match=r"vLLM does not start with .*plenty.*: not a number"):
        made(max_model_len="plenty")


def test_options_are_read_as_json_and_one_process_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "require_vllm", lambda: "0.0.0")
    given = ["max_model_len=512", "enforce_eager=true", "quantization=fp8"]
    expected = {"max_model_len": 512, "enforce_eager": True, "quantization": "fp8"}
    assert parsed("--engine-option", given) == expected
    with pytest.raises(OptionError, match="expected NAME=VALUE"):
        parsed("--engine-option", ["max_model_len"])
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(OptionError, match="shares work by itself"):
        Who("m", Parts(), Path("new"), engine="vllm").check()


def test_it_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "installed", lambda: None)
    with pytest.raises(EngineError, match=r"vLLM is not installed. Install it with: pip install 'unsee\[vllm\]', or"):
        require_vllm()


def test_rows_are_those_of_transformers_but_for_the_engine(made: Made, loaded: LoadedModel, tmp_path: Path) -> None:
    engine, _ = made(max_num_seqs=4)
    samples = [question(n, "who?" * n) for n in range(1, 4)]
    plan = plan_of("forget_heldout", samples, measures=["leak"], attacks=["sampling"], tries=2, max_new_tokens=2)
    for name, answering in (("v", engine), ("t", Local(loaded))):
        evaluate([Condition.of("base", answering)], plan, tmp_path / name)
    rows = [
        [json.loads(line) for line in (tmp_path / name / "answers.jsonl").read_text().splitlines()] for name in "vt"
    ]
    for one, other in zip(*rows, strict=True):
        assert one.keys() == other.keys() and (one["id"], one["question"]) == (other["id"], other["question"])
    about = json.loads((tmp_path / "v" / "settings.json").read_text())["conditions"]["base"]
    assert (about["engine"], about["engine_options"]) == ("vllm", {"max_num_seqs": 4})
    assert about["engine_versions"] == {"vllm": "0.0.0"}
