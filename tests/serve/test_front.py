"""Options of vLLM's front: what is asked for is given or refused, TLS above all. Without vLLM."""

import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from unsee.errors import OptionError
from unsee.serve.server import front
from unsee.serve.server.options import Limits, Options

GIVEN: dict[str, Any] = {
    "host": "h", "port": 1, "uvicorn_log_level": "error", "disable_uvicorn_access_log": True,
    "h11_max_incomplete_event_size": 5, "ssl_keyfile": "k", "ssl_certfile": "c", "ssl_ca_certs": "a",
    "ssl_cert_reqs": 2, "ssl_ciphers": "s", "enable_ssl_refresh": False,
}  # fmt: skip


def test_everything_about_listening_reaches_the_web_server(monkeypatch: pytest.MonkeyPatch) -> None:
    parts: dict[str, Any] = {
        "vllm.entrypoints.launchers.utils.server_utils:get_uvicorn_log_config": lambda given: {"version": 1},
        "vllm.envs:VLLM_HTTP_TIMEOUT_KEEP_ALIVE": 7,
    }
    monkeypatch.setattr(front, "part", parts.__getitem__)
    options = Options(model="m", limits=Limits(connections=9))
    given = SimpleNamespace(**GIVEN, shutdown_timeout=11)
    config = front.listening(app, given, options).config
    same = {n: v for n, v in GIVEN.items() if n not in ("uvicorn_log_level", "disable_uvicorn_access_log")}
    del same["enable_ssl_refresh"]
    renamed = {"log_level": "error", "access_log": False, "timeout_keep_alive": 7, "log_config": {"version": 1}}
    bounds = {"limit_concurrency": 9, "timeout_graceful_shutdown": 13, "http": "h11", "app": app}
    assert {name: getattr(config, name) for name in same | renamed | bounds} == same | renamed | bounds


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Stands in for a door."""


def test_what_is_not_honoured_is_told_and_the_rest_is_not() -> None:
    defaults = dict.fromkeys((*GIVEN, "root_path", "allowed_origins", "tool_server"))
    given = SimpleNamespace(**GIVEN, root_path="/x", allowed_origins=["*"], tool_server=None)
    assert list(front.without_effect(given, defaults)) == ["--root-path", "--allowed-origins"]


NONE: dict[str, Any] = dict.fromkeys(name for name in GIVEN if "ssl" in name) | {"ssl_cert_reqs": 0}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder, made = tmp_path_factory.mktemp("tls"), dict[str, Path]()
    key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = built.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    locked = serialization.BestAvailableEncryption(b"secret")
    form = serialization.PrivateFormat.PKCS8
    data = {
        "cert": built.sign(key, hashes.SHA256()).public_bytes(pem), "key": key.private_bytes(pem, form, plain),
        "other": other.private_bytes(pem, form, plain), "locked": key.private_bytes(pem, form, locked), "text": b"x",
    }  # fmt: skip
    for stem, content in data.items():
        made[stem] = folder / f"{stem}.pem"
        made[stem].write_bytes(content)
    return {stem: str(path) for stem, path in made.items()} | {"absent": str(folder / "absent.pem")}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"ssl_certfile": "cert", "ssl_keyfile": "key"},
        {"ssl_certfile": "cert", "ssl_keyfile": "key", "ssl_ca_certs": "cert", "ssl_cert_reqs": 2},
    ],
)
def test_tls_that_is_whole_is_taken(given: dict[str, Any], files: dict[str, str]) -> None:
    front.require_tls(SimpleNamespace(**NONE | {n: files.get(v, v) for n, v in given.items()}))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"ssl_certfile": "cert"}, "both --ssl-certfile"),
        ({"ssl_keyfile": "key"}, "both --ssl-certfile"),
        ({"ssl_ca_certs": "cert", "ssl_cert_reqs": 2}, "both --ssl-certfile"),
        ({"ssl_ciphers": "HIGH"}, "both --ssl-certfile"),
        ({"enable_ssl_refresh": True}, "both --ssl-certfile"),
        ({"ssl_certfile": "cert", "ssl_keyfile": "key", "ssl_ca_certs": "cert"}, "both or neither"),
        ({"ssl_certfile": "cert", "ssl_keyfile": "key", "ssl_cert_reqs": 2}, "both or neither"),
        ({"ssl_certfile": "absent", "ssl_keyfile": "key"}, "No such file"),
        ({"ssl_certfile": "cert", "ssl_keyfile": "text"}, "cannot be set up"),
        ({"ssl_certfile": "cert", "ssl_keyfile": "other"}, "cannot be set up"),
        ({"ssl_certfile": "cert", "ssl_keyfile": "locked"}, "without a passphrase"),
        (
            {"ssl_certfile": "cert", "ssl_keyfile": "key", "ssl_ca_certs": "cert", "ssl_cert_reqs": 9},
            "cannot be set up",
        ),
        ({"ssl_certfile": "cert", "ssl_keyfile": "key", "ssl_ciphers": "NOT-A-CIPHER"}, "cannot be set up"),
    ],
)
def test_tls_that_is_not_whole_is_refused(given: dict[str, Any], told: str, files: dict[str, str]) -> None:
    with pytest.raises(OptionError, match=told):
        front.require_tls(SimpleNamespace(**NONE | {n: files.get(v, v) for n, v in given.items()}))
