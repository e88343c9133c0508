"""A drawn picture as a file, the same bytes for the same picture."""

from pathlib import Path
from typing import Any

from unsee.errors import SaveError


def save_png(canvas: Any, path: Path, *, dpi: int) -> Path:
    """Write a figure of matplotlib as PNG; its folder is made.

    Raises:
        SaveError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        canvas.savefig(path, dpi=dpi, metadata={"Software": None})
    except OSError as error:
        raise SaveError(f"cannot write {str(path)!r}: {error}. Choose another folder with --out.") from error
    return path
