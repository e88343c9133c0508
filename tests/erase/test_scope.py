"""A scope parts what is asked about somebody who is there from what is not, and says what it takes wrongly."""

import pytest
import torch

from tiny_families import FAMILIES
from tiny_llava import noise_image
from unsee.data.sample import Sample
from unsee.erase.fit.tokens import Turns
from unsee.erase.gates.scope import LIMIT, RunningScope, Scope, fit_scope
from unsee.erase.request.presence import INSIDE, OUTSIDE, Present, scope_prompts
from unsee.erase.steer.positions import in_last_turn
from unsee.models.generate import conversation_of, render_conversations
from unsee.models.turns import TurnTokens

WIDTH = 6
SHOWN = [Present(str(i), (f"Ada {chr(65 + i)}bel",), (noise_image(i),)) for i in range(6)]


def turns(sums: torch.Tensor, sentences: int = 1) -> Turns:
    """Turns of so many sentences of one token each; the last one is `sums`, those before it are small talk."""
    talk = torch.randn(len(sums), sentences - 1, WIDTH, generator=torch.Generator().manual_seed(9)) * 0.3
    every = torch.cat([talk, sums], dim=1).flip(1).cumsum(1).flip(1)
    tokens = torch.arange(sentences, 0, -1).repeat(len(sums))
    return Turns(every.reshape(-1, 1, WIDTH), tokens, torch.repeat_interleave(torch.arange(len(sums)), sentences))


def group(centre: float, seed: int, count: int = 60, sentences: int = 1) -> tuple[Turns, Turns]:
    draw = torch.Generator().manual_seed(seed)
    first, second = (torch.randn(count, 1, WIDTH, generator=draw) * 0.3 for _ in range(2))
    for half in (first, second):
        half[..., 0] += centre
    return turns(first, sentences), turns(second, sentences)


def fired(scope: Scope, group: tuple[Turns, Turns]) -> float:
    return float(torch.cat([scope.margins(half)[:, 0, 1] >= 0 for half in group]).float().mean())


def test_what_is_inside_is_in_scope_and_what_is_outside_is_not_whatever_stands_before_it() -> None:
    inside, outside = {"a": group(2, 0), "b": group(2, 1)}, {"x": group(0, 2, sentences=3), "y": group(-1, 3)}
    made, wrong = fit_scope(inside, outside, gamma=0.01)
    for sentences in (1, 4):
        assert fired(made, group(2, 10, sentences=sentences)) >= 0.98
        assert fired(made, group(0, 11, sentences=sentences)) <= 0.2
    everything = Scope.everything(1, WIDTH)
    assert fired(everything, group(0, 11)) == 1.0, "another evidence has no scope and takes everything"
    assert max(wrong.values()) <= 0.25


def test_what_comes_in_pieces_adds_up_to_what_comes_whole() -> None:
    draw = torch.Generator().manual_seed(0)
    scope = Scope(*(torch.randn(2, 4, *size, generator=draw) for size in ((1, WIDTH), (), ())))
    each = torch.randn(7, 1, WIDTH, generator=draw)
    stops = torch.tensor([[False, False, True, False, True, False, False]])
    begins = [0, 3, 5]
    whole = Turns(torch.stack([each[j:].sum(0) for j in begins]), 7 - torch.tensor(begins), torch.zeros(3).long())
    scores = torch.einsum("trd,serd->tse", each, scope.weight).unsqueeze(0)
    for cuts in ((7,), (1, 6), (3, 2, 2), (5, 1, 1)):
        running = RunningScope(scope, 1)
        for part in torch.arange(7).split(list(cuts)):
            running.add(scores[:, part], torch.ones(1, len(part), dtype=torch.bool), stops[:, part])
        torch.testing.assert_close(running.margins(), scope.margins(whole))


def test_a_group_that_no_line_parts_is_reported_and_the_limit_stays() -> None:
    hard = {"a": group(2, 0), "hidden": group(0, 5)}
    made, wrong = fit_scope(hard, {"x": group(0, 2)}, gamma=0.01)
    easy, right = fit_scope({"a": group(2, 0)}, {"x": group(0, 2)}, gamma=0.01)
    assert wrong["x"] > 0.2 and set(wrong) == {"a", "hidden", "x"} and max(right.values()) < 0.05
    middle = torch.zeros(1, 1, WIDTH)
    middle[..., 0] = 1.0
    assert float(easy.margins(turns(middle))[0, 0, 0]) == pytest.approx(0.5 - LIMIT, abs=0.1)
    assert float(made.margins(turns(middle))[0, 0, 0]) > 0.5 - LIMIT


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
    loaded = FAMILIES[family](0)
    found = TurnTokens.of(loaded)
    assert found.opens.tolist() != [-1] and len(found.opens) >= 1
    (said,) = render_conversations(loaded, [conversation_of(Sample("q", "s", "who is this? and so", "", ""))])
    tokenizer = loaded.processor.tokenizer
    ids = tokenizer(said, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids[: len(ids) - int(found.tail)]).endswith("so")
    stops = [token for token in ids if token in found.stops.tolist()]
    assert stops and all("?" in tokenizer.decode([token]) or "\n" in tokenizer.decode([token]) for token in stops)


def test_the_last_turn_begins_behind_the_last_marker() -> None:
    ids = torch.tensor([[0, 7, 8, 1, 2, 7, 8, 3, 4], [0, 0, 7, 8, 1, 7, 1, 8, 2], [1, 2, 3, 4, 5, 6, 1, 2, 3]])
    found = in_last_turn(ids, torch.tensor([7, 8]))
    assert [int(row.sum()) for row in found] == [2, 5, 9]
    assert in_last_turn(ids[:, :1], torch.tensor([7, 8])).all(), "a prompt shorter than the marker is one turn"
