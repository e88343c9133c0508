"""Which code made a result: a changed rule makes other rows, and those of both must never be joined."""

import hashlib
from functools import cache
from pathlib import Path

from unsee.erase.artifact import library_versions


@cache
def code_version() -> str:
    """`VERSION+sha256:...` over every source file of the package, in the order of their names."""
    root, found = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        for part in (path.relative_to(root).as_posix().encode(), path.read_bytes()):
            found.update(len(part).to_bytes(8, "little"))
            found.update(part)
    return f"{library_versions()['unsee']}+sha256:{found.hexdigest()[:16]}"
