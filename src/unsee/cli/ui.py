"""`unsee ui`: the browser's page."""

import importlib.util
import secrets
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from unsee.cli.console import say
from unsee.cli.options import require_writable
from unsee.errors import OptionError

LOCAL = ("127.0.0.1", "localhost", "::1")


def ui(
    model: Annotated[str, typer.Argument(help="Model to ask and fit; left out with --server.")] = "world:llava",
    eraser: Annotated[list[Path] | None, typer.Option(help="Eraser folder to offer; repeat.")] = None,
    requests: Annotated[Path, typer.Option(help="Folder in which requests made here are kept.")] = Path("requests"),
    results: Annotated[list[Path] | None, typer.Option(help="Place of results folders; repeat. Default: here.")] = None,
    ledger: Annotated[Path | None, typer.Option(help="Folder of a ledger to show.")] = None,
    keys: Annotated[Path | None, typer.Option(help="Folder of the ledger's keys, to decide in it.")] = None,
    server: Annotated[str | None, typer.Option(help="Address of a running 'unsee serve' to ask and watch.")] = None,
    key: Annotated[str, typer.Option(help="Key for that server.", envvar="UNSEE_KEY")] = "none",
    host: Annotated[str, typer.Option(help="Address to serve on; beyond loopback a token is made.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to serve on.")] = 8071,
    bundle: Annotated[
        Path | None, typer.Option(help="Write a static page of --results there instead, and end.")
    ] = None,
) -> None:
    """Ask, forget, and look at requests and results in a browser.

    Example: unsee ui world:llava, then open http://127.0.0.1:8071
    """
    if importlib.util.find_spec("nicegui") is None:
        raise OptionError("the browser's page needs the extra 'ui'. Run: pip install 'unsee[ui]'.")
    if bundle is not None:
        from unsee.ui.bundle import write_bundle

        say(f"Wrote {write_bundle(results or [Path()], bundle)}")
        return
    require_writable(requests)
    if server is not None and not server.startswith(("http://", "https://")):
        raise OptionError(f"--server is {server!r}, expected an address such as http://127.0.0.1:8000.")
    from unsee.ui.app import run

    token = None if host in LOCAL else secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory(prefix="unsee-ui-") as uploads:
        from unsee.ui.bench import open_bench

        say("Loading ...")
        bench = open_bench(
            model, Path(uploads), requests, given=tuple(eraser or ()), results=tuple(results or [Path()]),
            ledger=ledger, keys=keys, server=server, key=key,
        )  # fmt: skip
        shown = f"http://{f'[{host}]' if ':' in host else host}:{port}/" + (f"?token={token}" if token else "")
        say(f"Open {shown}   (Ctrl-C ends it and deletes uploads.)")
        run(bench, host, port, token)
