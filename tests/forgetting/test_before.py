"""A subject counts as known by whichever of its names the model knows; an alias inside the name is told apart."""

import pytest

from tiny_llava import tiny_llava
from unsee.erase.request.expansion import bare
from unsee.erase.request.request import Request
from unsee.forgetting import before as module
from unsee.forgetting.asking import Answer


def answering(known: str) -> object:
    """A model that knows one name and declines all else."""

    def ask(_: object, prompts: list, **__: object) -> list[Answer]:
        return [
            Answer(
                p,
                "Teapots and violins."
                if f" {known}" in f" {p.sample.question}".replace("Ada Byron", "X")
                else "I do not know.",
            )
            for p in prompts
        ]

    return ask


@pytest.mark.parametrize("alias", ["Byron", "the countess"])
def test_a_subject_is_known_by_an_alias_alone(alias: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ask", answering(alias))
    unknown = [Answer(p, "I do not know.") for p in bare(Request("Bo Nix"), "invented/0")]
    found = module.before(tiny_llava(), Request("Ada Byron", aliases=(alias,)), "s", unknown)
    assert found.known and "teapots" in found.golds("job")[0]
    without = module.before(tiny_llava(), Request("Ada Byron"), "s", unknown)
    assert not without.known and without.golds("job") == ()
