"""Who may ask, and whose erasures are whose: one TOML file of the operator.

    [acme]
    key_sha256 = "..."          # of the tenant's API key
    requests = ["r-0123456789abcdef"]

A request of the ledger that a tenant lists is in force for that tenant alone; one that nobody lists, for everybody.
"""

import hashlib
import hmac
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, final

from unsee.errors import OptionError
from unsee.serve.errors import RefusedError


@final
@dataclass(frozen=True)
class Tenant:
    """One client of the server.

    Attributes:
        name: for metrics and cache salts; the empty one is everybody, where there is no file.
        key_sha256: of its API key.
        requests: of the ledger, that are its own.
    """

    name: str
    key_sha256: str
    requests: frozenset[str]


@final
@dataclass(frozen=True)
class Tenants:
    """All clients; none means that anybody may ask, as everybody."""

    known: tuple[Tenant, ...] = ()

    def of(self, authorization: str) -> Tenant:
        """The tenant whose key an `Authorization` header bears.

        Raises:
            RefusedError: there is none.
        """
        if not self.known:
            return Tenant("", "", frozenset())
        scheme, _, key = authorization.partition(" ")
        digest = hashlib.sha256(key.strip().encode("utf-8", "replace")).hexdigest()
        # All are compared, so that the time tells nothing about which came close.
        found = [tenant for tenant in self.known if hmac.compare_digest(tenant.key_sha256, digest)]
        if scheme.lower() != "bearer" or not found:
            raise RefusedError("The API key is missing or unknown. Send it as 'Authorization: Bearer KEY'.", "key", 401)
        return found[0]

    def foreign_to(self, tenant: Tenant) -> frozenset[str]:
        """Requests of the ledger that are another tenant's."""
        others = (other.requests for other in self.known if other.name != tenant.name)
        return frozenset().union(*others) - tenant.requests


def read_tenants(path: Path) -> Tenants:
    """Read and check the file.

    Raises:
        OptionError: names what is wrong.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError(f"cannot read the tenants {str(path)!r}: {error}. Expected a TOML file.") from error
    if not values:
        raise OptionError(f"{path}: holds no tenant, expected at least one section such as [acme]")
    tenants = tuple(_tenant(name, section, path) for name, section in values.items())
    keys = [tenant.key_sha256 for tenant in tenants]
    if len(set(keys)) != len(keys):
        raise OptionError(f"{path}: two tenants have the same key_sha256. Give each a key of its own.")
    return Tenants(tenants)


def _tenant(name: str, section: object, path: Path) -> Tenant:
    values = cast("Mapping[str, Any]", section) if isinstance(section, dict) else {}
    digest, requests = values.get("key_sha256"), values.get("requests")
    sound = isinstance(digest, str) and len(digest) == 64 and set(digest) <= set("0123456789abcdef")
    if values.keys() != {"key_sha256", "requests"} or not sound or not isinstance(requests, list):
        raise OptionError(
            f"{path}: [{name}] has {sorted(values)}, expected exactly key_sha256 (64 hexadecimal digits: "
            "printf %s KEY | sha256sum) and requests (a list of ids of the ledger)"
        )
    return Tenant(name, cast("str", digest), frozenset(map(str, cast("list[object]", requests))))
