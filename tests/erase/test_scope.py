"""A scope parts what is asked about somebody who is there from what is not, and says what it takes wrongly."""

import pytest
import torch

from tiny_families import FAMILIES
from tiny_llava import noise_image
from unsee.erase.gates.scope import LOWEST, Scope, fit_scope
from unsee.erase.request.presence import INSIDE, OUTSIDE, Present, scope_prompts
from unsee.erase.steer.positions import in_last_turn
from unsee.models.turns import turn_marker

WIDTH = 6
SHOWN = [Present(str(i), (f"Ada {chr(65 + i)}bel",), (noise_image(i),)) for i in range(6)]


def group(centre: float, seed: int, count: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    first, second = (torch.randn(count, 1, WIDTH, generator=draw) * 0.3 for _ in range(2))
    for half in (first, second):
        half[..., 0] += centre
    return first, second


def test_what_is_inside_is_in_scope_and_what_is_outside_is_not() -> None:
    made = fit_scope({"a": group(2, 0), "b": group(2, 1)}, {"x": group(0, 2), "y": group(-1, 3)}, gamma=0.01, lost=0.01)
    scope = Scope.everything(1, WIDTH)
    scope.weight[0, 1], scope.bias[0, 1] = made.weight, made.bias
    inside = torch.cat(group(2, 10)), torch.cat(group(0, 11))
    fired = [(scope.margins(some)[:, 0, 1] >= 0).float().mean() for some in inside]
    assert fired[0] >= 0.98 and fired[1] <= 0.05
    assert (scope.margins(inside[1])[:, 0, 0] > 0).all(), "another evidence has no scope and takes everything"
    assert max(made.wrong.values()) <= 0.05


def test_a_group_that_no_line_parts_lowers_the_threshold_to_the_least_and_is_reported() -> None:
    hard = {"a": group(2, 0), "hidden": group(0, 5)}
    made = fit_scope(hard, {"x": group(0, 2)}, gamma=0.01, lost=0.01)
    easy = fit_scope({"a": group(2, 0)}, {"x": group(0, 2)}, gamma=0.01, lost=0.01)
    assert made.wrong["x"] > 0.3 > easy.wrong["x"]
    middle = torch.zeros(1, WIDTH)
    middle[0, 0] = 1.0
    for one in (made, easy):  # the raw score of the midpoint is 1/2, so the margin there is 1/2 less the threshold
        assert float((one.weight * middle).sum() + one.bias) <= 0.5 - LOWEST + 0.2


def test_prompts_of_both_sides_differ_and_repeat_with_their_seed() -> None:
    made = scope_prompts(SHOWN, "person", seed=1)
    assert set(made) == {"shown", "named before", "shown before"}, "a turn that names the subject is about it"
    for evidence, (inside, outside) in made.items():
        assert set(inside) == set(INSIDE[evidence]) and set(outside) == set(OUTSIDE[evidence])
        assert {len(samples) for samples in (*inside.values(), *outside.values())} == {len(SHOWN)}
        asked = [{s.question for some in side.values() for s in some} for side in (inside, outside)]
        assert not asked[0] & asked[1]
    assert made == scope_prompts(SHOWN, "person", seed=1) != scope_prompts(SHOWN, "person", seed=2)
    assert set(scope_prompts([Present("a", ("Ada",)), Present("b", ("Bo",))], "person")) == {"named before"}


def test_what_is_spared_is_outside_wherever_the_subject_is() -> None:
    made = scope_prompts(SHOWN, "person", hidden=("home city",), spared=("job",))
    inside, outside = made["named"]
    assert all("city" in s.question or "live" in s.question for some in inside.values() for s in some)
    spared = [s.question for name, some in outside.items() if name.startswith("spared") for s in some]
    assert spared and not any("city" in question or "live" in question for question in spared)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_marker_of_a_turn_is_of_the_template_and_not_of_the_words(family: str) -> None:
    marker = turn_marker(FAMILIES[family](0))
    assert marker != (-1,) and len(marker) >= 1


def test_the_last_turn_begins_behind_the_last_marker() -> None:
    ids = torch.tensor([[0, 7, 8, 1, 2, 7, 8, 3, 4], [0, 0, 7, 8, 1, 7, 1, 8, 2], [1, 2, 3, 4, 5, 6, 1, 2, 3]])
    found = in_last_turn(ids, torch.tensor([7, 8]))
    assert [int(row.sum()) for row in found] == [2, 5, 9]
    assert in_last_turn(ids[:, :1], torch.tensor([7, 8])).all(), "a prompt shorter than the marker is one turn"
