"""Crossed gates against least squares on the very rows that each fit may see."""

import numpy as np
import pytest
import torch
from tests.oracles import weighted_ridge

from unsee.erase.fit.cross_fitting import cross_fitted

GAMMA = 0.05


# 56 or 60 states: more than 5 features, fewer than 90, so that both forms are solved.
@pytest.mark.parametrize("width", [5, 90])
@pytest.mark.parametrize("with_keep", [True, False])
def test_each_half_is_scored_by_a_gate_that_did_not_see_it(with_keep: bool, width: int) -> None:
    def rows(count: int, seed: int, shift: float = 0.0) -> torch.Tensor:
        return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)) + shift

    forgotten, first, second, others = [rows(9, 0, 1.0), rows(7, 1, -1.0)], rows(21, 2), rows(13, 3, 0.2), rows(6, 4)
    keep = rows(4, 5, 0.5) if with_keep else None

    def negatives(*people: torch.Tensor) -> torch.Tensor:
        seen = torch.cat([*people, others])
        # 27 / 4, 19 / 4 and 40 / 4 prompts, rounded: 7, 5 and 10 copies.
        return seen if keep is None else torch.cat([seen, *[keep] * {27: 7, 19: 5, 40: 10}[len(seen)]])

    weight, bias, scores = cross_fitted(forgotten, (first, second), others, keep, GAMMA)
    assert scores.shape == (34, 2)
    for k, positive in enumerate(forgotten):
        want, intercept = weighted_ridge(positive, negatives(first, second), GAMMA)
        np.testing.assert_allclose(weight[k], want, rtol=1e-8, atol=1e-10)
        assert abs(float(bias[k]) - intercept) < 1e-9
        for seen, unseen, part in ((first, second, scores[:13]), (second, first, scores[13:])):
            want, intercept = weighted_ridge(positive, negatives(seen), GAMMA)
            np.testing.assert_allclose(part[:, k], unseen.double().numpy() @ want + intercept, rtol=1e-7, atol=1e-9)
