"""Who may ask, and whose erasures are whose: one TOML file of the operator, read again whenever it changes.

A section is a tenant with digests of its API keys, two while one takes the other's place, and the requests of the
ledger that are in force for it alone. Those of the section `everybody`, or of no section, are in force for everybody.
"""

import hashlib
import hmac
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, final

from pydantic import Field, TypeAdapter, ValidationError

from unsee.errors import OptionError
from unsee.serve.errors import RefusedError
from unsee.serve.server.options import Digest, Section

EVERYBODY = "everybody"
_RequestId = Annotated[str, Field(pattern=r"^r-[0-9a-f]{16}$")]


@final
@dataclass(frozen=True)
class Tenant:
    """One client of the server.

    Attributes:
        name: for metrics and cache salts; the empty one is everybody, where there is no file.
        foreign: requests of the ledger that are another tenant's.
        at_once: requests that it may have running; None for any number.
        per_minute: requests that it may begin within a minute; likewise.
    """

    name: str = ""
    foreign: frozenset[str] = frozenset()
    at_once: int | None = None
    per_minute: int | None = None


@final
class Listed(Section):
    """One section of the file.

    Attributes:
        key_sha256: of its API keys.
        requests: of the ledger, that are its own.
        at_once: requests that it may have running.
        per_minute: requests that it may begin within a minute.
    """

    key_sha256: Digest | Annotated[list[Digest], Field(min_length=1)] | None = None
    requests: tuple[_RequestId, ...] = ()
    at_once: Annotated[int, Field(ge=1)] | None = None
    per_minute: Annotated[int, Field(ge=1)] | None = None

    @property
    def keys(self) -> list[str]:
        """Digests of its keys."""
        return [self.key_sha256] if isinstance(self.key_sha256, str) else self.key_sha256 or []


@final
@dataclass(frozen=True)
class Tenants:
    """All clients; none means that anybody may ask, as everybody.

    Attributes:
        known: by name.
    """

    known: dict[str, Listed]

    def of(self, authorization: str) -> Tenant:
        """The tenant whose key an `Authorization` header bears.

        Raises:
            RefusedError: there is none.
        """
        if not self.known:
            return Tenant()
        key = bearer(authorization)
        digest = hashlib.sha256(key).hexdigest()
        # All are compared, so that the time tells nothing about which came close.
        found = [n for n, listed in self.known.items() for one in listed.keys if hmac.compare_digest(one, digest)]
        if not found or not key:
            raise RefusedError("The API key is missing or unknown. Send it as 'Authorization: Bearer KEY'.", "key", 401)
        own, others = found[0], (one for name, one in self.known.items() if name not in (found[0], EVERYBODY))
        foreign = frozenset(i for other in others for i in other.requests) - frozenset(self.known[own].requests)
        return Tenant(own, foreign, self.known[own].at_once, self.known[own].per_minute)

    def unlisted(self, requests: Iterable[str]) -> list[str]:
        """Those that no section lists, although there are some: perhaps one was forgotten."""
        listed = {i for one in self.known.values() for i in one.requests}
        return [i for i in requests if self.known and i not in listed]


@final
class Roster:
    """The file as it is now."""

    def __init__(self, path: Path | None) -> None:
        self._path, self._stamp, self._tenants = path, (0, 0, 0), Tenants({})
        self.now()

    def now(self) -> Tenants:
        """Who may ask.

        Raises:
            OptionError, OSError: the file is gone or wrong, so that nothing says who may.
        """
        if self._path is not None:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                self._tenants, self._stamp = read_tenants(self._path), stamp
        return self._tenants


def read_tenants(path: Path) -> Tenants:
    """Read and check the file.

    Raises:
        OptionError: names what is wrong.
    """
    try:
        known = TypeAdapter(dict[str, Listed]).validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise OptionError(
            f"{path}: {place}: {first['msg']}. Expected sections such as [acme] with key_sha256 (64 hexadecimal "
            "digits, printf %s KEY | sha256sum, or a list of them) and requests (a list of ids of the ledger)"
        ) from error
    except (OSError, ValueError) as error:
        raise OptionError(f"cannot read the tenants {str(path)!r}: {error}. Expected a TOML file.") from error
    without = [name for name, listed in known.items() if bool(listed.keys) == (name == EVERYBODY)]
    if without or not known.keys() - {EVERYBODY}:
        raise OptionError(
            f"{path}: got sections {sorted(known)}, expected at least one tenant, each with key_sha256, and none in "
            f"[{EVERYBODY}]. Mend {without or 'the file'}."
        )
    keys = [key for listed in known.values() for key in listed.keys]
    if len(set(keys)) != len(keys):
        raise OptionError(f"{path}: two tenants have the same key_sha256. Give each a key of its own.")
    return Tenants(known)


def bearer(authorization: str) -> bytes:
    """The key of an `Authorization: Bearer KEY` header; empty where there is none."""
    scheme, _, key = authorization.partition(" ")
    return key.strip().encode("utf-8", "replace") if scheme.lower() == "bearer" else b""
