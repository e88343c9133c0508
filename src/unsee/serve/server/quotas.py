"""How many requests each tenant may have running, and begin within a minute."""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import final

from unsee.serve.errors import RefusedError
from unsee.serve.server.tenants import Tenant

WINDOW = 60.0
"""Seconds in which `per_minute` requests may begin, wherever it starts."""


@final
class Quotas:
    """Of all tenants, as their file says at the moment of each request."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._running: Counter[str] = Counter()
        self._began: defaultdict[str, deque[float]] = defaultdict(deque)

    @contextmanager
    def taken(self, tenant: Tenant) -> Iterator[None]:
        """A request of a tenant is answered.

        Raises:
            RefusedError: it has as many running, or begun within the last minute, as it may.
        """
        name, now = tenant.name, self._clock()
        if tenant.at_once is not None and self._running[name] >= tenant.at_once:
            raise RefusedError(f"At most {tenant.at_once} requests at once with this key. Try later.", "busy", 429)
        if tenant.per_minute is not None:
            began = self._began[name]
            while began and began[0] <= now - WINDOW:
                began.popleft()
            if len(began) >= tenant.per_minute:
                raise RefusedError(
                    f"At most {tenant.per_minute} requests a minute with this key. Try later.", "rate", 429
                )
            began.append(now)
        self._running[name] += 1
        try:
            yield
        finally:
            self._running[name] -= 1
