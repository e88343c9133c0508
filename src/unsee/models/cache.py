"""Where unsee keeps what it can make again: fetched models and digests of weights."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """`UNSEE_CACHE`, else `unsee` in the user's cache folder; it need not exist yet."""
    if chosen := os.environ.get("UNSEE_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "unsee"
