"""The erasure direction, its two-fold check and its random control."""

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from oracles import auc_by_pairs, float64
from unsee.erase.fit.direction import erasure_direction, random_direction, separation
from unsee.errors import DataError, DirectionError


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def states(generator: torch.Generator, count: int, layers: int = 3, width: int = 6, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(count, layers, width, generator=generator) + shift


def test_direction_is_the_difference_of_means_in_float64(generator: torch.Generator) -> None:
    erasure, recall = states(generator, 8, shift=1.0), states(generator, 5)
    direction = erasure_direction(erasure, recall)
    assert direction.dtype == torch.float64
    np.testing.assert_allclose(direction, float64(erasure).mean(0) - float64(recall).mean(0), rtol=1e-12)


def test_direction_points_from_recall_to_erasure() -> None:
    direction = erasure_direction(torch.full((2, 1, 1), 5.0), torch.full((3, 1, 1), 2.0))
    assert direction.item() == 3.0


def test_a_layer_that_does_not_differ_is_zero_but_all_layers_are_an_error(generator: torch.Generator) -> None:
    erasure, recall = states(generator, 4, shift=1.0), states(generator, 4)
    erasure[:, 0] = recall[:, 0] = 7.0
    assert not erasure_direction(erasure, recall)[0].any()
    with pytest.raises(DirectionError, match=r"equal mean states in every layer.*Expected two different sets"):
        erasure_direction(recall, recall)


def test_separation_equals_the_two_folds_done_by_hand(generator: torch.Generator) -> None:
    erasure, recall = states(generator, 9, shift=0.5), states(generator, 7)
    found = separation(erasure, recall)
    for layer in range(3):
        plus, minus = float64(erasure[:, layer]), float64(recall[:, layer])
        even, odd = plus[0::2].mean(0) - minus[0::2].mean(0), plus[1::2].mean(0) - minus[1::2].mean(0)
        folds = [
            auc_by_pairs(plus[1::2] @ even, minus[1::2] @ even),
            auc_by_pairs(plus[0::2] @ odd, minus[0::2] @ odd),
        ]
        assert found.auc[layer].item() == pytest.approx(sum(folds) / 2, abs=1e-12)
        cosine = even @ odd / np.linalg.norm(even) / np.linalg.norm(odd)
        assert found.cosine[layer].item() == pytest.approx(cosine, abs=1e-12)


def test_separation_is_not_optimistic_on_noise(generator: torch.Generator) -> None:
    erasure, recall = states(generator, 20, 40, 300), states(generator, 20, 40, 300)
    own = erasure_direction(erasure, recall)
    optimistic = [auc_by_pairs(erasure[:, i].double() @ own[i], recall[:, i].double() @ own[i]) for i in range(40)]
    assert min(optimistic) > 0.95
    found = separation(erasure, recall)
    assert 0.4 < found.auc.mean().item() < 0.6
    assert abs(found.cosine.mean().item()) < 0.05


def test_separation_finds_a_real_difference_and_calls_no_difference_chance(generator: torch.Generator) -> None:
    erasure, recall = states(generator, 30, shift=3.0), states(generator, 30)
    erasure[:, 0] = recall[:, 0] = 1.0
    found = separation(erasure, recall)
    assert found.auc.tolist() == [0.5, 1.0, 1.0]
    assert found.cosine[0].item() == 0.0
    assert (found.cosine[1:] > 0.9).all()


def test_a_seed_decides_the_halves(generator: torch.Generator) -> None:
    erasure, recall = states(generator, 12, shift=0.3), states(generator, 12)
    one, same, other = (separation(erasure, recall, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.cosine, same.cosine)
    assert not torch.equal(one.cosine, other.cosine)
    assert not torch.equal(one.cosine, separation(erasure, recall).cosine)


def test_random_direction_has_the_length_of_each_vector_and_no_other_likeness(generator: torch.Generator) -> None:
    direction = torch.randn(4, 2, 512, generator=generator, dtype=torch.float64) * torch.tensor([[[1.0], [100.0]]])
    control = random_direction(direction, torch.Generator().manual_seed(3))
    assert control.shape == direction.shape
    torch.testing.assert_close(control.norm(dim=-1), direction.norm(dim=-1), rtol=1e-12, atol=0)
    assert torch.nn.functional.cosine_similarity(control, direction, dim=-1).abs().max() < 0.2
    assert torch.nn.functional.cosine_similarity(control[0], control[1], dim=-1).abs().max() < 0.2


def test_random_direction_is_seeded_and_keeps_the_precision() -> None:
    direction = torch.ones(3, 5)
    one, same, other = (random_direction(direction, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert one.dtype == torch.float32
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert not random_direction(torch.zeros(2, 5), torch.Generator()).any()


def test_too_few_prompts_are_refused(generator: torch.Generator) -> None:
    some, one, none = states(generator, 4), states(generator, 1), states(generator, 0)
    with pytest.raises(DataError, match=r"the erasure set has 0 prompt\(s\), expected at least 1"):
        erasure_direction(none, some)
    with pytest.raises(DataError, match=r"the recall set has 0 prompt\(s\)"):
        erasure_direction(some, none)
    with pytest.raises(DataError, match=r"the recall set has 1 prompt\(s\), expected at least 2"):
        separation(some, one)


def test_states_of_two_models_or_of_broken_ones_are_refused(generator: torch.Generator) -> None:
    some, broken = states(generator, 4), states(generator, 4)
    broken[2, 1, 0] = float("nan")
    with pytest.raises(DataError, match=r"the recall states contain 1 non-finite of 72 values"):
        erasure_direction(some, broken)
    with pytest.raises(DataError, match=r"the directions contain 1 non-finite"):
        random_direction(broken, generator)


@pytest.mark.parametrize("layers", [1, 2])
def test_layers_are_never_broadcast(generator: torch.Generator, layers: int) -> None:
    # With shapes enforced at run time the annotation speaks first, and then names the parameter.
    message = r"\(layers, width\) \(3, 6\) but recall states \(\d, 6\)|parameter 'recall'"
    with pytest.raises((DataError, TypeCheckError), match=message):
        erasure_direction(states(generator, 4), states(generator, 4, layers=layers))
