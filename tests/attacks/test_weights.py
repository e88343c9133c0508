"""Rounding against a loop, relearning against the attacker's own aim, and that neither leaves a trace."""

from dataclasses import replace
from typing import Any, ClassVar, cast

import pytest
import torch

from tiny_llava import question, tiny_llava
from unsee.attacks.base import AccessError, Victim, lent
from unsee.attacks.relearning import left_behind, relearn, relearning, relearning_others
from unsee.attacks.rounding import GROUP, pruned, pruning, round_weights, rounded, rounding
from unsee.evals.answerers import How, Local
from unsee.methods.rows import with_answers
from unsee.models.digest import weights_digest


def slowly_rounded(row: list[float], group: int) -> list[float]:
    out = []
    for start in range(0, len(row), group):
        part = row[start : start + group]
        scale = max(abs(w) for w in part) / 7
        out += [0.0 if scale == 0 else scale * round(w / scale) for w in part]
    return out


def test_each_group_of_a_row_has_fifteen_even_steps() -> None:
    weight = torch.randn(3, 2 * GROUP, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weight[1, :GROUP] = 0
    wanted = torch.tensor([slowly_rounded(row, GROUP) for row in weight.tolist()], dtype=torch.float64)
    assert torch.allclose(rounded(weight), wanted, rtol=1e-12, atol=1e-15)
    assert all(len(part.unique()) <= 15 for part in rounded(weight).reshape(-1, GROUP))
    odd = weight[:, :7]
    wanted = torch.tensor([slowly_rounded(row, 7) for row in odd.tolist()], dtype=torch.float64)
    assert torch.allclose(rounded(odd), wanted, rtol=1e-12, atol=1e-15)


def test_the_head_is_left_as_it_is_and_weights_come_back() -> None:
    loaded = tiny_llava()
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    with lent(loaded):
        round_weights(loaded)
        changed = {n for n, v in loaded.model.state_dict().items() if not torch.equal(v, before[n])}
        assert "lm_head.weight" not in changed
        assert not any("embed" in name or "norm" in name for name in changed)
        assert "model.language_model.layers.1.mlp.down_proj.weight" in changed
    assert weights_digest(loaded.model) == loaded.digest


def test_relearning_makes_the_answers_likelier_and_touches_the_language_model_alone() -> None:
    loaded = tiny_llava()
    samples = [question(i, "who is it?", image=i % 2 == 0) for i in range(4)]
    batch = with_answers(loaded, samples, [s.answer for s in samples])

    def loss() -> float:
        with torch.no_grad():
            return float(loaded.model(**batch).loss)

    first = loss()
    tower = loaded.model.model.vision_tower.state_dict()
    before = {name: value.clone() for name, value in tower.items()}
    with lent(loaded):
        relearn(loaded, samples, 5, rate=3e-3)
        assert loss() < first - 0.1
        assert all(torch.equal(value, before[name]) for name, value in tower.items())
    assert loss() == first
    assert all(p.grad is None for p in loaded.model.parameters())


def test_attacks_on_weights_leave_them_as_they_were() -> None:
    loaded = tiny_llava()
    asked = [replace(question(n, "who is it?"), subject=f"p{n % 3}") for n in range(6)]
    victim = Victim(Local(loaded), How(4), questions=asked, others=[question(9, "who is it?")])
    plain = victim.said(asked)
    rounds = rounding(victim, asked, 0)
    assert all(one is not None for one in rounds) and [one[0] for one in rounds if one] != plain
    assert [one[0] for one in pruning(victim, asked, 0) if one] != plain
    for attack in (relearning, relearning_others, left_behind):
        learnt = attack(victim, asked, 0)
        assert [one is None for one in learnt] == [n % 3 != 1 for n in range(6)], "every second subject is his own"
    assert weights_digest(loaded.model) == loaded.digest and victim.said(asked) == plain


def test_the_smallest_weights_are_pruned() -> None:
    weight = torch.tensor([[0.1, -3.0, 2.0, -0.2], [5.0, 0.05, -0.3, 1.0]])
    assert pruned(weight, 0.5).tolist() == [[0, -3.0, 2.0, 0], [5.0, 0, 0, 1.0]]


def test_weights_that_nobody_reaches_are_refused() -> None:
    with pytest.raises(AccessError, match="holds the weights"):
        _ = Victim(cast("Any", Filtered())).loaded


class Filtered:
    about: ClassVar = {"engine": "server"}
    loaded = None
