"""The application: pages behind the guard, served on loopback unless told otherwise."""

from collections.abc import Callable

import uvicorn
from fastapi import FastAPI
from nicegui import ui
from starlette.requests import Request

from unsee.ui.bench import Bench
from unsee.ui.guard import LOCAL, Guard
from unsee.ui.pages.ask import ask_page
from unsee.ui.pages.forget import forget_page
from unsee.ui.pages.live import live_page
from unsee.ui.pages.requests import requests_page
from unsee.ui.pages.results import results_page


def make(bench: Bench, hosts: tuple[str, ...] = LOCAL, token: str | None = None) -> Guard:
    """The application as ASGI."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @ui.page("/")
    def ask(request: Request) -> None:
        ask_page(bench, dict(request.query_params))

    @ui.page("/forget")
    def forget(request: Request) -> None:
        forget_page(bench, dict(request.query_params))

    @ui.page("/requests")
    def requests(request: Request) -> None:
        requests_page(bench, dict(request.query_params))

    @ui.page("/results")
    def results(request: Request) -> None:
        results_page(bench, dict(request.query_params))

    @ui.page("/live")
    def live() -> None:
        live_page(bench)

    ui.run_with(app, title="unsee", dark=None, language="en-US", tailwind=False, show_welcome_message=False,
        reconnect_timeout=60.0,  # a machine that sleeps or is busy for a while loses no page
        gzip_middleware_factory=None,  # the guard reads pages, and loopback needs none
    )  # fmt: skip
    return Guard(app, hosts, token)


def run(bench: Bench, host: str, port: int, token: str | None, ready: Callable[[], None] = lambda: None) -> None:
    """Serve until interrupted."""
    guard = make(bench, LOCAL if host in LOCAL else (), token)
    ready()
    try:
        uvicorn.run(
            guard,
            host=host,
            port=port,
            log_level="warning",
            ws="wsproto",
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=2,
        )
    finally:
        bench.jobs.stop()
