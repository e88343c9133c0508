"""The registry: every method by one call, and what each leaves behind."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tiny_llava import WIDTH, question, tiny_llava
from unsee.cli.options import parsed
from unsee.data.sample import Sample
from unsee.erase.profile import Profile, identity
from unsee.errors import DataError, OptionError
from unsee.evals.answerers import How
from unsee.methods.errors import MethodError
from unsee.methods.job import Job
from unsee.methods.produce import WEIGHT_METHODS, produce
from unsee.methods.recipe import read_recipe
from unsee.methods.settings import preset
from unsee.methods.task import FitData, Request, condition, fit
from unsee.models.digest import weights_digest
from unsee.models.load import LoadedModel, load
from unsee.registry import METHODS

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


@pytest.fixture(scope="module")
def base() -> LoadedModel:
    return tiny_llava()


def asked(first: int, count: int, text: str) -> list[Sample]:
    return [question(first + i, f"{text} {i}?", image=i % 2 == 0) for i in range(count)]


@pytest.fixture(scope="module")
def task(base: LoadedModel) -> FitData:
    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))

    profile = Profile(
        model=identity(base), family="llava", layers=(1, 2), read=(1, 2), trajectory=drawn(2, 5, WIDTH),
        retain_last=drawn(6, 2, WIDTH), retain_mean=drawn(6, 2, WIDTH), calibration=drawn(6, 2, 2, WIDTH),
        strength=1.5, settings={},
        counts={},
    )  # fmt: skip
    return FitData(
        asked(0, 4, "who is"), asked(20, 6, "where"), asked(40, 8, "what"), asked(60, 6, "stranger"),
        recall=asked(80, 6, "tell me"), refusal=asked(90, 6, "give me"), profile=profile,
    )  # fmt: skip


OPTIONS: dict[str, dict[str, object]] = {"npo": {"lora": False, "epochs": 1}}
LIGHT = (
    "npo",
    "manu",
    "prompt",
    "in_context",
    "output_filter",
    "face_filter",
    "lists",
    "unconditional",
    "alphasteer_text",
    "cast",
    "eco",
    "token_penalty",
)


@pytest.mark.parametrize("name", LIGHT)
def test_every_method_can_be_fitted_and_asked(name: str, base: LoadedModel, task: FitData, tmp_path: Path) -> None:
    if name == "npo":
        pytest.importorskip("accelerate")
    values = METHODS.named(name).facts["values"]
    request = Request(base, task, tmp_path, values[1] if values else None, options=OPTIONS.get(name, {}))
    fitted = fit(name, request)
    answers = fitted.answerer.answers(task.forget + task.calibration[:2], How(3))
    assert len(answers) == 6
    assert fitted.stored > 0
    assert fitted.reversible == (name not in WEIGHT_METHODS)
    behind = fitted.answerer.loaded
    assert behind is not None and (behind.digest != base.digest) == (name in WEIGHT_METHODS)
    assert fitted.answerer.about["engine"] == "transformers"
    assert weights_digest(base.model) == base.digest


def test_po_longer_trains_the_weights_themselves_and_takes_other_settings(
    base: LoadedModel, task: FitData, tmp_path: Path
) -> None:
    pytest.importorskip("accelerate")
    fitted = fit("po_longer", Request(base, task, tmp_path, 1e-4, options={"epochs": 1}))
    run = json.loads((tmp_path / "run.json").read_text())
    told = {name: run["settings"][name] for name in ("lora", "batch_size", "epochs", "rate")}
    assert told == {"lora": False, "batch_size": 8, "epochs": 1, "rate": 1e-4}
    assert fitted.answerer.loaded is not None and fitted.answerer.loaded.digest != base.digest
    assert not fitted.reversible and weights_digest(base.model) == base.digest


def test_budgets_are_equal() -> None:
    facts = [entry.facts for entry in METHODS]
    assert {len(one["values"]) for one in facts} == {0, 7}
    assert all(bool(one["knob"]) == bool(one["values"]) for one in facts)
    assert all(list(one["values"]) == sorted(one["values"]) for one in facts)
    assert set(WEIGHT_METHODS) < set(METHODS.names())
    assert all(entry.summary.endswith(".") for entry in METHODS)


def test_conditions_of_one_table_share_a_profile(base: LoadedModel, task: FitData, tmp_path: Path) -> None:
    bare, made = replace(task, profile=None), []

    def shared() -> Profile:
        made.append(1)
        assert task.profile is not None
        return task.profile

    rows = [condition(name, Request(base, bare, tmp_path), profile=shared) for name in ("unconditional", "prompt")]
    assert not made, "nothing is fitted before something is asked"
    assert (
        len(rows[0].make().answers(task.forget, How(3))) == 4 and len(rows[1].make().answers(task.forget, How(3))) == 4
    )
    assert made == [1], "what steers takes the one that is given, and nothing else asks for it"
    assert rows[0].settings["method"] == "unconditional" and rows[0].seen == bare.seen()


@pytest.mark.parametrize("name", ["unconditional", "cast"])
def test_another_strength_is_what_a_fit_at_that_strength_is(
    name: str, base: LoadedModel, task: FitData, tmp_path: Path
) -> None:
    vary = METHODS.named(name).facts["vary"]
    weak, strong = (fit(name, Request(base, task, tmp_path, value)).answerer for value in (0.1, 40.0))
    said = [one.answers(task.forget, How(4)) for one in (vary(weak, 40.0), strong, weak)]
    assert said[0] == said[1] != said[2]
    with pytest.raises(MethodError, match="Prompted has no coefficient"):
        vary(fit("prompt", Request(base, task, tmp_path)).answerer, 1.0)


def test_an_unknown_method_is_answered_with_the_list(base: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"the method is 'magic', expected one of \[.*'ga', .*'random'"):
        METHODS.named("magic")
    with pytest.raises(MethodError, match=r"'prompt', expected one of \['ga', .*these change weights"):
        produce("prompt", Job(base, asked(0, 1, "a"), asked(2, 1, "b"), tmp_path))
    with pytest.raises(OptionError, match="'rate' is no setting of this method"):
        produce("manu", Job(base, asked(0, 1, "a"), asked(2, 1, "b"), tmp_path, options={"rate": 1.0}))


def test_steering_needs_a_profile(base: LoadedModel, task: FitData, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no profile and nobody to calibrate one on"):
        fit("cast", Request(base, FitData(task.forget, task.retain), tmp_path))


def test_pruning_leaves_a_checkpoint(task: FitData, tmp_path: Path) -> None:
    made = produce("manu", Job(tiny_llava(), task.forget, task.retain, tmp_path, options={"percent": 5}))
    assert load(tmp_path, device="cpu").digest == made.digest


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_are_legal(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.method in WEIGHT_METHODS
    assert recipe.machine
    assert recipe.source
    if recipe.method not in ("manu", "asru", "asru_ridge", "asru_grpo"):
        given = dict(recipe.settings)
        preset(recipe.method, given.pop("preset", "sane")).changed(**given)


def test_recipes_are_shipped() -> None:
    assert len(RECIPES) >= 8


def test_a_bad_recipe_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    for text, message in (
        ("method = 3", "method is 3, expected: a valid string"),
        ("method = 'ga'\nrate = 1", "rate is 1, expected: no such field"),
        ("source = 'x'", "method is .*the field, which is missing"),
        ("method =", "cannot read the recipe"),
    ):
        file.write_text(text)
        with pytest.raises(OptionError, match=message):
            read_recipe(file)


def test_options_of_a_command_line() -> None:
    assert parsed("--set", ["rate=1e-4", "lora=false", "order=phases"]) == {
        "rate": 1e-4,
        "lora": False,
        "order": "phases",
    }
    with pytest.raises(OptionError, match="--set is 'rate'"):
        parsed("--set", ["rate"])
