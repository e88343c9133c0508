"""What a reply is: which tokens of the answer are fixed, and whether the states are steered; registered by kind.

Fixed tokens are *forced*: where the model chooses token `s` of the answer, every other one has probability 0. One reply
is one file; `register` makes it known to artifacts and hooks.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self, TypeVar

import torch

from unsee.errors import ArtifactError
from unsee.shapes import Int, Tensor

FREE = -1
"""Stands in tables of forced tokens where the model chooses for itself."""
_LONGEST = 4096


class Reply(Protocol):
    """What an answer is once the gate is open.

    Attributes:
        kind: name in artifacts.
        steers: whether the states are steered along the trajectory.
    """

    kind: ClassVar[str]

    @property
    def steers(self) -> bool:
        """Whether the states are steered along the trajectory."""
        ...

    def forced(self, step: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
        """The token that follows each answer step, or `FREE`; step 0 is where the first token is chosen."""
        ...

    def as_json(self) -> dict[str, Any]:
        """What an artifact holds of it, beside its kind."""
        ...

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The reply of `as_json`.

        Raises:
            ArtifactError: it is not as `as_json` makes it.
        """
        ...


R = TypeVar("R")
_KINDS: dict[str, type[Any]] = {}


def register(reply: type[R]) -> type[R]:
    """Make a kind of reply known, by its `kind`; used as a decorator."""
    _KINDS[vars(reply)["kind"]] = reply
    return reply


def reply_of(values: object) -> Reply:
    """The reply that an artifact holds.

    Raises:
        ArtifactError: its kind is not known, or it is damaged.
    """
    kind = values.get("kind") if isinstance(values, Mapping) else None
    if not isinstance(values, Mapping) or kind not in _KINDS:
        raise ArtifactError(f"the reply is {values!r:.80}, expected one of kinds {sorted(_KINDS)}. Update unsee.")
    return _KINDS[kind].of({str(name): value for name, value in values.items() if name != "kind"})


def follow(tokens: tuple[int, ...], step: Int[Tensor, "B T"], after: int) -> Int[Tensor, "B T"]:
    """`tokens[step]` while there are any, then `after`; `FREE` before step 0."""
    table = torch.tensor([*tokens, after])
    return torch.where(step >= 0, table[step.clamp(0, len(tokens))], FREE)


def require_tokens(text: object, tokens: object) -> tuple[str, tuple[int, ...]]:
    """Words and their tokens as an artifact holds them.

    Raises:
        ArtifactError: they are something else.
    """
    whole = isinstance(tokens, list | tuple) and all(type(token) is int and token >= 0 for token in tokens)
    if not isinstance(text, str) or not isinstance(tokens, list | tuple) or not whole or not 0 < len(tokens) < _LONGEST:
        raise ArtifactError(
            f"the reply has the words {text!r:.60} and the tokens {tokens!r:.60}, expected a text and 1 to "
            f"{_LONGEST - 1} token ids. Make the reply again from its words, with this model."
        )
    return text, tuple(tokens)
