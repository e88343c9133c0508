"""Fisher masks and MANU's pruning against numpy and hand-made cases."""

import numpy as np
import pytest
import torch
from torch import nn

from tiny_llava import question, tiny_llava
from unsee.errors import DataError, OptionError
from unsee.methods.errors import MethodError
from unsee.methods.fisher import mean_squared_gradient, ratio_mask
from unsee.methods.neurons import Busy, highest, prune, scores


def test_fisher_is_the_mean_of_squared_gradients() -> None:
    weight = nn.Parameter(torch.tensor([1.0, -2.0]))
    unused = nn.Parameter(torch.tensor([3.0]))
    inputs = [torch.tensor([1.0, 2.0]), torch.tensor([-3.0, 0.5])]
    # L = (w.x)^2 has the gradient 2 (w.x) x: w.x is -3 and -4.
    found = mean_squared_gradient({"w": weight, "u": unused}, ((weight @ x) ** 2 for x in inputs))
    first, second = np.array([1.0, 2.0]) * 2 * -3, np.array([-3.0, 0.5]) * 2 * -4
    assert found["w"].tolist() == pytest.approx(((first**2 + second**2) / 2).tolist())
    assert found["u"].tolist() == [0.0]
    with pytest.raises(MethodError, match="Fisher information of an empty set"):
        mean_squared_gradient({"w": weight}, iter(()))


def test_the_mask_keeps_what_matters_more_for_forgetting() -> None:
    forget, preserve = torch.tensor([2.0, 1.0, 0.5, 0.0]), torch.tensor([1.0, 1.0, 1.0, 0.0])
    assert ratio_mask({"w": forget}, {"w": preserve})["w"].tolist() == [True, True, False, True]
    assert ratio_mask({"w": forget}, {"w": preserve}, threshold=1.5)["w"].tolist() == [True, False, False, False]


def test_importance_is_numpys_whatever_the_batches() -> None:
    a = torch.randn(40, 7, generator=torch.Generator().manual_seed(0)) * 0.3
    x = a.numpy().astype(np.float64)
    wanted = np.stack([np.abs(x).mean(0), (np.abs(x) > 0.1).mean(0), x.std(0, ddof=1), np.sqrt((x**2).mean(0))])
    for found in (Busy.of(a), Busy.of(a[:11]) + Busy.of(a[11:])):
        np.testing.assert_allclose(found.importance().numpy(), wanted, rtol=1e-10)


def test_scores_and_the_highest_of_all_layers() -> None:
    forget = torch.tensor([[2.0, 1.0], [1.0, 1.0], [3.0, 1.0], [1.0, 4.0]])
    retain = torch.ones(4, 2)
    # Weights (2, 0, 2, 2): first 2(2-1) + 2(3-1) + 2(1-1) = 6, second 2(4-1) = 6; epsilon is small.
    assert scores(forget, retain).tolist() == pytest.approx([6.0, 6.0], abs=1e-3)
    chosen = highest({"a": torch.tensor([1.0, 9.0, 2.0]), "b": torch.tensor([8.0, 0.0])}, 40)
    assert {name: mask.tolist() for name, mask in chosen.items()} == {"a": [False, True, False], "b": [True, False]}
    with pytest.raises(OptionError, match="percent is 0, expected more than 0"):
        highest({"a": torch.zeros(3)}, 0)


@pytest.mark.parametrize("released", [False, True])
def test_pruning_zeroes_the_share_it_is_asked_for(released: bool) -> None:
    loaded = tiny_llava()
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    forget = [question(i, image=i % 2 == 0) for i in range(4)]
    retain = [question(10 + i, "and where is this?", image=i % 2 == 0) for i in range(6)]
    cut = prune(loaded, forget, retain, percent=10, released=released)
    assert any("vision" in name for name in cut)
    assert any("language" in name for name in cut)
    axis = 1 if released else 0
    for name, count in cut.items():
        weight = loaded.model.get_submodule(name).weight
        gone = (weight == 0).all(axis)
        assert int(gone.sum()) == count
        assert torch.equal(weight.movedim(axis, 0)[:, ~gone], before[f"{name}.weight"].movedim(axis, 0)[:, ~gone])
    for part in ("vision", "language"):
        names = [name for name in cut if part in name]
        total = sum(len((loaded.model.get_submodule(name).weight == 0).all(axis)) for name in names)
        assert sum(cut[name] for name in names) == max(1, int(0.1 * total))
    touched = {f"{name}.{kind}" for name in cut for kind in ("weight", "bias")}
    assert all(torch.equal(v, before[n]) for n, v in loaded.model.state_dict().items() if n not in touched)


def test_nothing_to_compare_is_refused() -> None:
    loaded = tiny_llava()
    with pytest.raises(MethodError, match="MANU found nothing to compare"):
        prune(loaded, [question(0)], [question(1, image=False)])
    with pytest.raises(DataError, match="the forget set is empty"):
        prune(loaded, [], [question(1)])
