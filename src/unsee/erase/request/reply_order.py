"""The operator's order of replies, checked before anything heavy is imported."""

from collections.abc import Sequence

from unsee.errors import OptionError

ORDER = ("steer", "prefix", "canned")
"""Of the replies that are tried where the operator names none."""


def require_replies(order: Sequence[str]) -> tuple[str, ...]:
    """The order, `ORDER` if it is empty, if every entry is `steer`, `prefix`, `canned` or `canned:WORDS`.

    Raises:
        OptionError: names the entry that is not.
    """
    for one in order:
        kind, colon, words = one.partition(":")
        if kind not in ORDER or (colon and (kind != "canned" or not words.strip())):
            raise OptionError(f"reply is {one!r}, expected 'steer', 'prefix', 'canned' or 'canned:YOUR WORDS'")
    return tuple(order) or ORDER
