"""The grid: each test of this folder runs once for every family."""

from collections.abc import Callable, Sequence

import pytest
import torch

from tiny_families import FAMILIES, READ, WRITTEN, held_eraser, oracle_features, published_eraser
from tiny_llava import WIDTH
from unsee.data.sample import Sample
from unsee.erase.eraser import Eraser
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.models.load import LoadedModel

Opened = Callable[[LoadedModel, Sequence[Sample], Sequence[bool], int], Eraser]


@pytest.fixture(scope="module", params=FAMILIES)
def loaded(request: pytest.FixtureRequest) -> LoadedModel:
    return FAMILIES[request.param](0)


@pytest.fixture(scope="module")
def held(loaded: LoadedModel) -> Eraser:
    return held_eraser(loaded)


@pytest.fixture(scope="module")
def published(loaded: LoadedModel) -> Eraser:
    return published_eraser(loaded)


@pytest.fixture(params=["held", "published"])
def either(request: pytest.FixtureRequest) -> Eraser:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def opened() -> Opened:
    """Makes a held eraser that is open for some of a few prompts, by features that an oracle has read; with a seed."""

    def make(loaded: LoadedModel, samples: Sequence[Sample], fires: Sequence[bool], seed: int) -> Eraser:
        rows = torch.stack([oracle_features(loaded, sample) for sample in samples]).double()
        centre, target = rows.mean(0), torch.tensor(fires).double() * 2 - 1
        weight = (torch.linalg.pinv((rows - centre).flatten(1)) @ (target - target.mean())).view(1, *centre.shape)
        bias = -(weight * centre).sum().float()
        # As in `held_eraser`, a second subject never gets what it asks for.
        gate = PromptRidgeGate(READ, weight.repeat(2, 1, 1, 1).float(), bias.repeat(2), torch.tensor([0.0, 9.0]))
        generator = torch.Generator().manual_seed(seed)
        trajectory = torch.randn(len(WRITTEN), 3, WIDTH, generator=generator)
        return Eraser({"id": "tiny"}, loaded.adapter.family, WRITTEN, gate, trajectory, 3.0, "held")

    return make
