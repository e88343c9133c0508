"""What a protocol decides: sets, words, lengths, sampling, measures; and the release's strings to the last token."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from planning import plan_of
from tiny_llava import noise_image, question, tiny_llava
from unsee.data import whole_prompt
from unsee.data.sample import Sample
from unsee.data.task import Set, Task
from unsee.errors import DataError, OptionError
from unsee.evals.choices import GROUPED, MEASURES, default_measures, require_measures, takes_probabilities
from unsee.evals.plan import own_task, planned, planned_benchmark
from unsee.evals.prompting import asking
from unsee.evals.roles import better
from unsee.evals.rows import row_of
from unsee.metrics import CARDS
from unsee.models.generate import encode, render

OPTIONS = {"A": "job", "B": "town"}


def sample(form: str = "generation", image: bool = True) -> Sample:
    base = question(1, "What is __ of this person?", image=image)
    options = OPTIONS if form == "classification" else None
    answer = "A" if options else "job"
    return Sample("q", "p", base.question, answer, "job", form, base.image, options)


@pytest.mark.parametrize("image", [True, False])
@pytest.mark.parametrize("form", ["generation", "classification", "cloze"])
@pytest.mark.parametrize("benchmark", ["mllmu", "umu", "fiubench", "safeeraser", "unlok"])
def test_official_prompts_are_the_releases_strings_token_for_token(benchmark: str, form: str, image: bool) -> None:
    if not image and benchmark in ("fiubench", "safeeraser", "unlok"):
        pytest.skip("its release asks over pictures alone")
    loaded, asked = tiny_llava(), sample(form, image)
    asks = asking(loaded, benchmark, verbatim=True)
    prompts, whole = asks.prompts([asked]), whole_prompt(asked, benchmark)
    assert render(asks.loaded, prompts, asks.style) == [whole]
    images = [asked.image.load()] if asked.image else None
    truth = loaded.processor(text=[whole], images=images, return_tensors="pt")
    assert encode(asks.loaded, prompts, asks.style)["input_ids"].tolist() == truth["input_ids"].tolist()
    assert render(loaded, [asked], "plain")[0].endswith(" ASSISTANT:"), "the model itself is left as it was"


def test_without_a_released_string_the_chat_template_asks() -> None:
    loaded = tiny_llava()
    for style, verbatim in (("clear", True), ("mllmu", False), ("plain", True)):
        asks = asking(loaded, style, verbatim=verbatim)
        assert (asks.whole, asks.loaded, asks.style) == (None, loaded, style)
        assert asks.prompts([sample()]) == [sample()]


def test_official_takes_everything_from_the_release(benchmark_folder: Callable[[str], Path]) -> None:
    folder: Path = benchmark_folder("umu")
    made = planned_benchmark("umu", folder, "official", 5, limit=9)
    assert list(made.task.sets) == ["forget", "retain", "real_person", "forget_train", "retain_train"]
    assert (made.style, made.sampled, made.settings()["max_new_tokens"]) == ("umu", False, "as released")
    assert {(s.form, made.tokens(s)) for of in made.task.sets.values() for s in of.samples} == {
        ("generation", 200), ("classification", 50), ("cloze", 50),
    }  # fmt: skip
    assert made.measures == default_measures("umu", "official")
    for option in ({"style": "plain"}, {"max_new_tokens": 9}):
        with pytest.raises(OptionError, match="official protocol asks in the release's own words and lengths"):
            planned_benchmark("umu", folder, "official", 5, **option)


def test_honest_asks_plainly_and_measures_strictly(benchmark_folder: Callable[[str], Path]) -> None:
    made = planned_benchmark("umu", benchmark_folder("umu"), "honest", None, chosen=["forget_heldout", "celebrity"])
    assert sorted(made.task.sets) == ["celebrity", "forget_heldout"]
    assert (made.style, made.max_new_tokens, made.sampled, made.ratio) == ("plain", 48, False, 5)
    assert "accuracy-strict" in made.measures and "accuracy-umu-closest-option" in made.measures
    with pytest.raises(OptionError, match=r"no set 'forget' in 'umu': expected some of \['forget_fit'"):
        planned_benchmark("umu", benchmark_folder("umu"), "honest", None, chosen=["forget"])


def test_a_limit_spreads_over_the_set() -> None:
    made = plan_of("s", [question(n) for n in range(10)], limit=4)
    assert [item.sample.id for item in made.task.sets["s"].items] == ["q0", "q2", "q5", "q7"]
    assert len(plan_of("s", [question(n) for n in range(3)], limit=4).task.sets["s"]) == 3
    with pytest.raises(OptionError, match="limit 0; expected at least 1"):
        plan_of("s", [question(1)], limit=0)


def test_the_digest_is_of_questions_references_and_order() -> None:
    one, other = question(1), question(2)
    digests = {plan_of("s", chosen).digest() for chosen in ([one, other], [other, one], [one])}
    digests |= {plan_of("t", [one]).digest()}
    assert len(digests) == 4
    assert plan_of("s", [question(1), question(2)]).digest() in digests


def test_the_digest_is_of_every_frame_and_a_row_names_the_first() -> None:
    frames = (noise_image(1), noise_image(2), noise_image(3))
    asked = replace(question(1), image=None, video=frames)
    digests = {
        plan_of("s", [replace(asked, video=clip)]).digest()
        for clip in (frames, frames[:2], (frames[0], frames[2], frames[1]), ())
    }
    assert len(digests) == 4
    assert row_of("base", "s", Set.of("forget", [asked]), asked, "ann lee.")["image"] == "noise-1"


def test_two_questions_of_one_id_are_refused() -> None:
    with pytest.raises(DataError, match="set 's' has two questions of id 'q1'"):
        plan_of("s", [question(1), question(1)])


def test_measures_are_chosen_by_name() -> None:
    assert require_measures(["ape-mean", "leak"]) == ("ape-mean", "keyword-em-fiubench", "leak")
    with pytest.raises(OptionError, match=r"measure is 'rouge', expected some of \['accuracy-mllmu-first-char'"):
        require_measures(["rouge"])
    assert set(MEASURES) <= CARDS.keys() and set(GROUPED) <= CARDS.keys()
    for benchmark in (None, "mllmu", "clear", "clear-choice", "umu", "fiubench", "safeeraser", "offside", "unlok"):
        for protocol in ("official", "honest"):
            assert set(require_measures(default_measures(benchmark, protocol))) <= set(MEASURES)


def test_every_measure_of_the_page_can_be_selected_but_an_attacks() -> None:
    assert CARDS.keys() - set(MEASURES) == {"leak-at-k"}


def test_measures_that_nothing_could_be_scored_by_are_refused(benchmark_folder: Callable[[str], Path]) -> None:
    samples, other = [question(1), question(2)], [question(8), question(9)]
    with pytest.raises(OptionError, match=r"mia-auc-zlib tells .* of \['s'\] has the role 'unknown'.*--unknown"):
        plan_of("s", samples, measures=["leak", "mia-auc-zlib"])
    made = plan_of("s", samples, measures=["mia-auc-zlib"], unknown=other)
    assert list(made.task.sets) == ["s", "unknown"] and made.task.sets["unknown"].role == "unknown"
    assert made.digest() != plan_of("s", samples).digest()
    with pytest.raises(DataError, match="1 subject"):
        plan_of("s", samples, unknown=[question(2)])
    with pytest.raises(OptionError, match="a set of unknown subjects already, 'strangers'"):
        plan_of("strangers", samples, role="unknown", unknown=other)
    with pytest.raises(OptionError, match=r"'umu' has no attacks: expected one of \['safeeraser'\]"):
        planned_benchmark("umu", benchmark_folder("umu"), "honest", None, measures=["asr"])
    with pytest.raises(OptionError, match="tries 0, limit None; expected at least 1 each"):
        plan_of("s", samples, tries=0)


def test_which_measures_take_the_model_itself() -> None:
    assert takes_probabilities(["leak", "mia-open-mm"]) and takes_probabilities(["exposure-bits"])
    assert not takes_probabilities(["leak", "asr", "rougeL-f"])
    assert takes_probabilities(require_measures(["js-distance-histogram"])), "it is made of truth ratios"


def test_directions_follow_what_a_set_is_for() -> None:
    assert (better("rougeL-f", "forget"), better("rougeL-f", "general"), better("rr", "retain")) == (
        "lower",
        "higher",
        "",
    )
    assert (better("right", "forget"), better("refused", "retain"), better("refused", "unknown")) == (
        "lower", "lower", "higher",
    )  # fmt: skip


def test_own_data_has_no_ratio_and_left_out_is_kept() -> None:
    task = Task("mllmu", {"s": Set.of("forget", [question(1)])}, left_out={"why": 3})
    assert planned(task).ratio is None
    assert planned(task, benchmark="mllmu").ratio == 5 and planned(task).task.left_out == {"why": 3}


def test_own_data_is_filed_by_its_role_and_nothing_is_guessed_from_a_name() -> None:
    samples = [question(1), question(2)]
    assert {name: one.role for name, one in own_task(samples).sets.items()} == {"unlabelled": "unlabelled"}
    assert own_task(samples, name="retain_not_forget").sets["retain_not_forget"].role == "unlabelled"
    assert own_task(samples, "retain").sets["retain"].role == "retain"
    assert {better(name, "unlabelled") for name in ("right", "refused", "leaked", "rougeL-f")} == {""}
    with pytest.raises(OptionError, match=r"no set has the role 'forget'.*--role"):
        planned(own_task(samples), attacks=["response-prefill"])
    with pytest.raises(OptionError, match=r"attack is 'shouting', expected one of \['"):
        plan_of("s", samples, attacks=["shouting"])
