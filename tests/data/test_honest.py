"""The honest protocol: person-disjoint, wording-disjoint, seeded, and nothing lost uncounted."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsee.data.benchmarks.items import Item
from unsee.data.sample import ImageFile, Sample
from unsee.data.splits import UNASSIGNED, alternate, honest, roles
from unsee.data.task import Set, Task
from unsee.errors import DataError


def item(subject: str, question: str = "q", image: str | None = None, id: str = "") -> Item:
    shown = None if image is None else ImageFile(image, image.encode())
    return Item(Sample(id or f"{subject}/{question}/{image}", subject, question, "a", "a", image=shown))


@settings(deadline=None)
@given(st.sets(st.text(min_size=1, max_size=4), min_size=4, max_size=40), st.integers(0, 5))
def test_roles_split_everybody_once(people: set[str], seed: int) -> None:
    found = roles(people, seed)
    assert found.keys() == people
    counts = {
        role: sum(found[person] == role for person in people) for role in ("retain_fit", "calibration", "retain_unseen")
    }
    assert all(counts.values())
    assert abs(counts["retain_fit"] - len(people) / 2) <= 1.5
    assert found == roles(sorted(people, reverse=True), seed)


@settings(deadline=None)
@given(st.integers(5, 40), st.integers(1, 3))
def test_people_named_as_unseen_are_exactly_those(count: int, named: int) -> None:
    people = [str(n) for n in range(count)]
    found = roles(people, 0, people[:named])
    assert {person for person in people if found[person] == "retain_unseen"} == set(people[:named])


def test_another_seed_is_another_split() -> None:
    people = [str(n) for n in range(20)]
    assert len({tuple(roles(people, seed)[p] for p in people) for seed in range(10)}) == 10


@pytest.mark.parametrize("count", [0, 3])
def test_too_few_people(count: int) -> None:
    with pytest.raises(DataError, match=rf"{count} retained subject\(s\) cannot be split .*expected at least 4"):
        roles([str(n) for n in range(count)], 0)


KEPT = [item(f"k{n}", f"q{m}") for n in range(8) for m in range(2)]


def test_what_the_fit_sees_word_for_word_is_not_tested() -> None:
    fit = [item("f", "where?", "face"), item("f", "who?")]
    heldout = [
        item("f", "where?", "face", "a"),
        item("f", "where?", "other"),
        item("f", "who?", None, "b"),
        item("f", "x?"),
    ]
    found = honest("toy", fit, heldout, KEPT)
    assert [i.sample.id for i in found.sets["forget_heldout"].items] == ["f/where?/other", "f/x?/None"]
    assert found.left_out == {"held-out questions that the fit sees word for word": 2}


def test_a_subject_in_both_is_refused_or_counted() -> None:
    kept = [*KEPT, item("f", "z")]
    with pytest.raises(DataError, match=r"1 subject\(s\) are in both the retain and the forget set: f"):
        honest("toy", [item("f")], [item("f", "y")], kept)
    found = honest("toy", [item("f")], [item("f", "y")], kept, shared="leave out")
    assert found.left_out == {"retained questions about a subject that is to be forgotten": 1}
    assert "f" not in {i.sample.subject for one in found.of_role("retain").values() for i in one.items}


def test_questions_about_nobody_are_forgotten_but_never_kept() -> None:
    found = honest("toy", [item(UNASSIGNED)], [item(UNASSIGNED, "y")], [*KEPT, item(UNASSIGNED, "z")])
    assert found.left_out == {"retained questions that the data set ties to no subject": 1}


def test_unseen_people_get_the_held_out_wordings() -> None:
    other = [item(f"k{n}", "held out") for n in range(8)]
    sets = honest("toy", [item("f")], [item("f", "y")], KEPT, kept_heldout=other).samples()
    assert {s.question for s in sets["retain_unseen"]} == {"held out"}
    assert "held out" not in {s.question for name in ("retain_fit", "calibration") for s in sets[name]}


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(DataError, match=r"toy \(honest\): the set 'forget_heldout' is empty"):
        honest("toy", [item("f")], [item("f")], KEPT)
    with pytest.raises(DataError, match=r"toy \(official\): the set 'x' is empty"):
        Task("toy", {"x": Set("forget", [])}, "official")


rows = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from("qrst"), st.sampled_from([None, "1", "2", "3"])), max_size=20
)


@settings(deadline=None)
@given(rows)
def test_halves_share_no_image_and_no_text_question(found: list[tuple[str, str, str | None]]) -> None:
    items = [item(f"{who}", question, image and who + image, str(n)) for n, (who, question, image) in enumerate(found)]
    first, second = alternate(items)
    assert sorted(i.sample.id for i in (*first, *second)) == sorted(i.sample.id for i in items)

    def marks(half: list[Item]) -> set[object]:
        return {
            (i.sample.subject, i.sample.question if i.sample.image is None else i.sample.image.source) for i in half
        }

    assert not marks(first) & marks(second)
