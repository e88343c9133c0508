"""A real PostgreSQL for tests of the ledger: a cluster of its own on a Unix socket, as nobody privileged."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USER = "nobody"


def installed() -> Path | None:
    """Where Debian's `postgresql` put its programs; None where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    there = shutil.which("initdb")
    return found[-1] if found else Path(there).resolve().parent if there else None


@contextmanager
def running() -> Iterator[str]:
    """The address of an empty database, as SQLAlchemy takes it, while the block is open."""
    programs = installed()
    assert programs is not None, "apt-get install postgresql"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        home = Path(name)
        root = os.geteuid() == 0
        if root:  # PostgreSQL refuses to run as root
            shutil.chown(home, USER)
        home.chmod(0o755)

        def run(program: str, *arguments: str) -> None:
            command = [str(programs / program), "-D", str(home / "data"), *arguments]
            done = subprocess.run(command, capture_output=True, text=True, user=USER if root else None, cwd=home)
            assert done.returncode == 0, done.stderr

        run("initdb", "-U", "unsee", "--auth=trust", "-E", "UTF8", "--no-sync")
        options = f"-c listen_addresses= -k {home} -c shared_buffers=16MB -c max_connections=40"
        run("pg_ctl", "start", "-w", "-o", options, "-l", str(home / "log"))
        try:
            yield f"postgresql+psycopg://unsee@/postgres?host={home}"
        finally:
            run("pg_ctl", "stop", "-m", "immediate")
