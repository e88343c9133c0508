"""The checkpoints that come with the package."""

from unsee.errors import OptionError

FAMILIES = ("llava", "qwen2_5_vl", "qwen3_vl")
NEVER_KNEW_RATIO, NEVER_KNEW_SEED = 0.1, 0
"""Split for which the never-knew checkpoint was made; at others its row is left out."""


def require_shipped(family: str) -> None:
    """Refuse a family of which no checkpoint comes with the package.

    Raises:
        OptionError: names those that do.
    """
    if family not in FAMILIES:
        raise OptionError(
            f"family is {family!r}, expected one of {list(FAMILIES)}: checkpoints of these come with unsee. "
            "Make others from a clone: python -m tools.world --family NAME."
        )
