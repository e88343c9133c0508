"""How much memory a process may still take."""

import os
from pathlib import Path

MIB = 2**20
_GROUP = Path("/sys/fs/cgroup")


def available_mib() -> int | None:
    """Free memory in MiB, the limit of a container included; None where the system does not say."""
    known = [value for value in (_of_machine(), _of_container()) if value is not None]
    return min(known) // MIB if known else None


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def _of_container() -> int | None:
    try:
        limit, used = ((_GROUP / name).read_text().strip() for name in ("memory.max", "memory.current"))
        return None if limit == "max" else max(0, int(limit) - int(used))
    except (OSError, ValueError):
        return None
