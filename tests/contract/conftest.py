"""The grid: each test of this folder runs once for every family."""

import pytest

from tiny_families import FAMILIES, held_eraser, published_eraser
from unsee.erase.eraser import Eraser
from unsee.models.load import LoadedModel


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
