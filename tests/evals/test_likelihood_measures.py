"""Ranks, exposure and membership scores of a row, against one slow forward pass written out by hand."""

import math
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from tiny_llava import question, tiny_llava
from unsee.data.benchmarks.items import Item, References
from unsee.data.task import Set
from unsee.evals.answerers import PLAIN, Local
from unsee.evals.likelihood_measures import likely
from unsee.evals.scoring import Judges, scored_rows
from unsee.models.generate import encode
from unsee.models.load import LoadedModel

FALSE = ("bo ray.", "cy", "dan who?", "a person in this picture")


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_llava()


def distributions(loaded: LoadedModel, item: Item, answer: str) -> tuple[np.ndarray, list[int]]:
    """`log p` over the vocabulary at each token of the answer and its end, one token at a time, in float64."""
    tokenizer = loaded.processor.tokenizer
    ids = [*tokenizer(answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    inputs, rows = dict(encode(loaded, [item.sample])), []
    for token in ids:
        with torch.no_grad():
            logits = loaded.model(**inputs, use_cache=False).logits[0, -1].double()
        rows.append((logits - logits.logsumexp(0)).numpy())
        inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([[token]])], 1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    return np.stack(rows), ids


def loss(loaded: LoadedModel, item: Item, answer: str) -> float:
    table, ids = distributions(loaded, item, answer)
    return -float(np.mean([table[place, token] for place, token in enumerate(ids)]))


@pytest.mark.parametrize("answer", ["ann lee.", "cy", "bo ray."])
def test_standing_among_false_answers(answer: str, loaded: LoadedModel) -> None:
    item = Item(replace(question(3), answer=answer), References(perturbed=FALSE))
    (found,) = likely(Local(loaded), "forget", [item], PLAIN, 2)
    own, others = loss(loaded, item, answer), [loss(loaded, item, text) for text in FALSE]
    rank = 1 + sum(other < own for other in others)
    assert found.measures["answer-rank"] == rank
    assert found.measures["answer-in-top-k"] == float(rank <= 2)
    assert found.measures["exposure-bits"] == pytest.approx(math.log2(5) - math.log2(rank))


def test_guessing_every_candidate_is_no_finding(loaded: LoadedModel) -> None:
    item = Item(question(3), References(perturbed=FALSE))
    (found,) = likely(Local(loaded), "forget", [item], PLAIN, 5)
    assert "answer-in-top-k" not in found.measures and "answer-rank" in found.measures
    (bare,) = likely(Local(loaded), "forget", [Item(question(3))], PLAIN, 2)
    assert bare.measures.keys() == {"probability", "sequence-log-probability", "token-in-top-k"}


def test_tokens_of_the_answer_without_its_end(loaded: LoadedModel) -> None:
    item = Item(question(3))
    table, ids = distributions(loaded, item, item.sample.answer)
    ranks = [1 + int((table[place] > table[place, token]).sum()) for place, token in enumerate(ids)]
    assert min(ranks[:-1]) < max(ranks), "some of k below tell the end token from the others"
    for tries in (1, *ranks):
        (found,) = likely(Local(loaded), "forget", [item], PLAIN, tries)
        assert found.measures["token-in-top-k"] == pytest.approx(np.mean([rank <= tries for rank in ranks[:-1]]))


def test_membership_scores(loaded: LoadedModel) -> None:
    item = Item(replace(question(3), answer="ann lee lives in this picture, please."))
    (found,) = likely(Local(loaded), "forget", [item], PLAIN, 1)
    table, ids = distributions(loaded, item, item.sample.answer)
    table, ids = table[:-1], ids[:-1]  # the end token is everybody's
    own = np.array([table[place, token] for place, token in enumerate(ids)])
    mean = (np.exp(table) * table).sum(1)
    spread = np.sqrt((np.exp(table) * (table - mean[:, None]) ** 2).sum(1))
    lowest = max(1, int(0.2 * len(ids)))
    expected = {
        "loss": own.mean(),
        "zlib": own.mean() / len(zlib.compress(item.sample.answer.encode())),
        "min-k": np.sort(own)[:lowest].mean(),
        "min-k-plus-plus": np.sort((own - mean) / spread)[:lowest].mean(),
    }
    assert found.membership == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_scores_are_kept_in_rows_only_where_they_are_asked_for(loaded: LoadedModel) -> None:
    of = Set.of("forget", [question(1)])

    def row(*names: str) -> object:
        return scored_rows(Local(loaded), of, of.items, ["x"], names, how=PLAIN, judges=Judges())[0].membership

    assert row("probability") is None and row("leak") is None
    scores = row("mia-open-mm")
    assert isinstance(scores, dict) and scores.keys() == {"loss", "zlib", "min-k", "min-k-plus-plus"}
