"""The values of a row against forms written out by hand: what applies, what is unscored, and the probabilities."""

import math
from dataclasses import replace

import pytest
import torch

from tiny_llava import question, tiny_llava
from unsee.data.benchmarks.items import Item, References
from unsee.data.task import Role, Set
from unsee.evals.answerers import PLAIN, Local
from unsee.evals.choices import MEASURES, takes_probabilities
from unsee.evals.judge import Judgement
from unsee.evals.scoring import Judges, Scored, scored_rows
from unsee.models.generate import answer_tokens, encode, log_probability

LIKELY = ("probability", "sequence-log-probability", "probability-contrastive", "answer-rank", "truth-ratio-forget",
          "truth-ratio-retain")  # fmt: skip


def score(item: Item, said: str, role: Role = "forget", names: tuple[str, ...] = MEASURES) -> Scored:
    of = Set(role, [item])
    return scored_rows(Local(tiny_llava()), of, [item], [said], names, how=PLAIN, judges=Judges())[0]


def test_what_applies_depends_on_form_and_set() -> None:
    item = Item(question(1))
    names = tuple(name for name in MEASURES if not takes_probabilities([name]))
    forget, keep, safe = (score(item, "no", role, names).measures for role in ("forget", "retain", "neighbour"))
    assert {"leak", "rr", "asru-reward-forget", "bleu-offside", "asru-leakage"} <= forget.keys()
    assert not {"leak", "rr", "asru-reward-forget", "sarr"} & keep.keys() and "asru-reward-retain" in keep
    assert safe["sarr"] == 0.0 and score(item, "i do not know.", "neighbour", ("sarr",)).measures == {"sarr": 1.0}
    assert not {"cloze-strict", "accuracy-strict", "keyword-em"} & forget.keys()
    assert "keyword-em" in score(Item(question(1), References(keywords=("ann",))), "no", names=names).measures


def test_letters_are_not_judged_and_a_missing_gold_is_unscored() -> None:
    choice = replace(question(1), form="classification", answer="A", options={"A": "ann lee", "B": "bo"})
    assert score(Item(choice), "A", names=("asru-leakage",)) == Scored({})
    bare = score(Item(replace(question(1), gold="", answer="")), "hello", names=("asru-leakage", "leak", "probability"))
    assert bare == Scored({"asru-leakage": None, "leak": None}, None, "no gold answer, or no answer")


def test_a_judges_failure_stays_unscored_with_its_reason() -> None:
    def judge(question: str, answer: str, gold: str) -> Judgement:
        return Judgement(None, 3.0, None, f"cannot read {answer}")

    names = ("asru-leakage", "asru-naturalness")
    (row,) = scored_rows(
        Local(tiny_llava()), Set.of("forget", [question(1)]), [Item(question(1))], ["x"], names,
        how=PLAIN, judges=Judges(judge),
    )  # fmt: skip
    assert row == Scored({"asru-leakage": 3.0, "asru-naturalness": None}, None, "cannot read x")


@pytest.mark.parametrize("sign", ["forget", "retain"])
def test_probabilities_are_those_of_a_slow_pass(sign: Role) -> None:
    loaded, sample = tiny_llava(), question(3)
    told, false = "she is ann.", ["bo ray.", "cy"]
    item = Item(sample, References((told,), tuple(false)))

    def loss(text: str) -> float:
        tokens = [answer_tokens(loaded, [text])[0] + [loaded.processor.tokenizer.eos_token_id]]
        with torch.no_grad():
            return -float(log_probability(loaded, encode(loaded, [sample]), tokens)) / len(tokens[0])

    true, paraphrase, wrong = loss(sample.answer), loss(told), [loss(text) for text in false]
    row = score(item, "x", sign, LIKELY)
    ratio = sum(wrong) / 2 - paraphrase
    assert row.log_truth_ratio == pytest.approx(ratio, abs=1e-5)
    assert row.measures["probability"] == pytest.approx(math.exp(-true), rel=1e-5)
    odds = math.exp(-true) / (math.exp(-true) + sum(math.exp(-one) for one in wrong))
    assert row.measures["probability-contrastive"] == pytest.approx(odds, rel=1e-5)
    assert row.measures["answer-rank"] == 1 + sum(one < true for one in wrong)
    truth = math.exp(-abs(ratio)) if sign == "forget" else max(0.0, 1 - math.exp(-ratio))
    assert row.measures[f"truth-ratio-{sign}"] == pytest.approx(truth, rel=1e-4, abs=1e-6)
    other = {"forget": "retain", "retain": "forget"}[sign]
    assert f"truth-ratio-{other}" not in row.measures
