"""vLLM's options for the front of a server: each is passed on or refused by name, and none is accepted and ignored."""

import ssl
from collections.abc import Iterator, Mapping
from typing import Any

import uvicorn

from unsee.errors import OptionError
from unsee.serve.engine.compat import part
from unsee.serve.server.asgi import Application
from unsee.serve.server.options import Options

_TLS = ("ssl_certfile", "ssl_keyfile", "ssl_ca_certs", "ssl_cert_reqs", "ssl_ciphers", "enable_ssl_refresh")
_LOGS = ("uvicorn_log_level", "disable_uvicorn_access_log", "disable_access_log_for_endpoints")
_LISTENING = ("host", "port", "uds", "h11_max_incomplete_event_size", *_TLS, *_LOGS)

# What vLLM's application does behind the door, with no effect on what is asked, steered or let out.
_BEHIND = (
    "disable_fastapi_docs", "enable_force_include_usage", "enable_per_request_metrics", "enable_prompt_tokens_details",
    "enable_request_id_headers", "fingerprint_mode", "fingerprint_value", "log_error_stack", "max_log_len",
)  # fmt: skip


def without_effect(arguments: Any, defaults: Mapping[str, Any]) -> Iterator[str]:
    """Options of vLLM's front that were given and that this server does not honour.

    Args:
        arguments: parsed.
        defaults: of every option of vLLM's front, those of later versions too.
    """
    for name, default in defaults.items():
        if name not in _LISTENING + _BEHIND and getattr(arguments, name) != default:
            yield flag(name)


def require_tls(arguments: Any) -> None:
    """Refuse options that ask for TLS and would not give it, before anything is loaded.

    Raises:
        OptionError: certificate and key are not both there, cannot be used, or clients' certificates are half set up.
    """
    given = [flag(name) for name in _TLS if getattr(arguments, name)]
    if not given:
        return
    if not (arguments.ssl_certfile and arguments.ssl_keyfile):
        raise OptionError(
            f"{', '.join(given)} ask for TLS, which needs a certificate and its key. Expected both --ssl-certfile and "
            "--ssl-keyfile (one file may hold both: name it twice); the server would answer in clear."
        )
    if bool(arguments.ssl_ca_certs) != bool(arguments.ssl_cert_reqs):
        raise OptionError(
            f"got {', '.join(given)}. Clients' certificates are checked with both --ssl-ca-certs, who signs them, and "
            "--ssl-cert-reqs 2, that they are needed. Give both or neither."
        )
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.ssl_certfile, arguments.ssl_keyfile, lambda: "")  # never asks the terminal
        context.verify_mode = ssl.VerifyMode(arguments.ssl_cert_reqs)
        if arguments.ssl_ca_certs:
            context.load_verify_locations(arguments.ssl_ca_certs)
        if arguments.ssl_ciphers:
            context.set_ciphers(arguments.ssl_ciphers)
    except (OSError, ValueError) as error:
        raise OptionError(
            f"TLS cannot be set up from {', '.join(given)}: {error}. Expected PEM files that belong together and a key "
            "without a passphrase."
        ) from error


def listening(app: Application, arguments: Any, options: Options) -> uvicorn.Server:
    """A web server, as the options of vLLM's front say, that has yet to be run.

    After SIGTERM it takes no connection, and waits for running requests as long as --shutdown-timeout says.
    """
    logs = part("vllm.entrypoints.launchers.utils.server_utils:get_uvicorn_log_config")(arguments)
    config = uvicorn.Config(
        app,
        host=arguments.host,
        port=arguments.port,
        http="h11",  # the only one that bounds the size of a head
        ws="none",
        log_level=arguments.uvicorn_log_level,
        access_log=not arguments.disable_uvicorn_access_log,
        server_header=False,
        limit_concurrency=options.limits.connections,
        timeout_keep_alive=part("vllm.envs:VLLM_HTTP_TIMEOUT_KEEP_ALIVE"),
        timeout_graceful_shutdown=int(arguments.shutdown_timeout) + 2,  # `Life` has ended all requests before
        h11_max_incomplete_event_size=arguments.h11_max_incomplete_event_size,
        **{name: getattr(arguments, name) for name in _TLS if name != "enable_ssl_refresh"},
        **({} if logs is None else {"log_config": logs}),
    )
    if arguments.enable_ssl_refresh:
        config.load()
        refresher = part("vllm.entrypoints.launchers.utils.ssl:SSLCertRefresher")
        refresher(config.ssl, config.ssl_keyfile, config.ssl_certfile, config.ssl_ca_certs)
    return uvicorn.Server(config)


def flag(name: str) -> str:
    """An option as it is typed."""
    return f"--{name.replace('_', '-')}"
