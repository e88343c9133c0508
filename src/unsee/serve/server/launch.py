"""From a model and a ledger to an open door: library first, then the engine, the canary, and only then the socket."""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unsee.ledger.store import Ledger
from unsee.progress import Stages, silent
from unsee.serve.engine.carried import reports_of
from unsee.serve.engine.compat import part, require_known
from unsee.serve.engine.engines import Engines
from unsee.serve.engine.plugin import set_environment
from unsee.serve.engine.tracking import NO_SET
from unsee.serve.server.arguments import engine_arguments
from unsee.serve.server.asking import Inside
from unsee.serve.server.options import Options
from unsee.serve.server.prepare import Prepared, prepare, release, require_plain_weights

if TYPE_CHECKING:
    from unsee.serve.parity.comparison import Answer, Prompt

CANARY = "canary"
_ENTRY = "vllm.entrypoints.launchers.api_server.entry"

Hold = Callable[[str, Mapping[str, str]], AbstractAsyncContextManager[None]]
"""Holds a set of erasers, by content id and folder, in an engine while a block runs."""


async def prove(prepared: Prepared, inside: Inside, hold: Hold) -> None:
    """Send the canaries into every engine, one after another.

    Raises:
        CanaryError: the engine does not steer as the library does.
        EngineError: it does not answer.
    """
    from unsee.serve.parity.canary import fly

    async def ask(rank: int, prompt: "Prompt", steered: bool) -> "Answer":
        return await inside.ask(prompt, CANARY if steered else NO_SET, rank)

    for canary in prepared.canaries:
        with tempfile.TemporaryDirectory(prefix="unsee-canary-") as folder:
            content_id = canary.eraser.save_pretrained(folder)
            async with hold(CANARY, {content_id: folder}):
                for rank in inside.ranks:
                    await fly(canary, partial(ask, rank), exact=prepared.dtype == "float32")


@asynccontextmanager
async def engine_of(arguments: Any, prepared: Prepared, seconds: float) -> AsyncIterator[tuple[Engines, Inside]]:
    """Running engines that have passed the canary, and what asks them.

    Raises:
        CanaryError, EngineError: it must not serve.
    """
    async with part(f"{_ENTRY}:build_async_engine_client")(arguments) as client:
        engines = Engines(client)
        inside = Inside(engines, prepared.tokenizer, seconds)
        await prove(prepared, inside, inside.holding)
        yield engines, inside


async def serve(options: Options, prepared: Prepared, ledger: Ledger) -> None:
    """Serve until told to stop, or until the engine dies."""
    from unsee.serve.server.admission import Admission
    from unsee.serve.server.front import listening
    from unsee.serve.server.running import Behind, attend, door

    arguments = engine_arguments(options, prepared.dtype)
    part("vllm.logger:configure_logging_from_args")(arguments)
    address, socket = part("vllm.entrypoints.launchers.launcher:setup_server")(arguments, reuse_port=False)
    async with engine_of(arguments, prepared, options.limits.engine_seconds) as (engines, inside):
        engine = engines.client
        admission = Admission(ledger, engines, reports_of(engine), options.limits.engine_seconds)
        tasks = await engine.get_supported_tasks()
        app = part("vllm.entrypoints.launchers.app:build_app")(arguments, tasks, engine.model_config)
        await part("vllm.entrypoints.launchers.api_server.app_state:init_app_state")(
            engine, app.state, arguments, tasks
        )

        async def test() -> None:
            await prove(prepared, inside, admission.beside)

        behind = Behind(app, engine, admission, test)
        keeper, watches = await door(behind, options, prepared)
        server = listening(keeper, arguments, options)
        print(f"unsee: the canary has passed; serving on {address}", file=sys.stderr, flush=True)
        await attend(server, socket, watches(server, arguments.shutdown_timeout))
        if engine.errored:  # a supervisor may start again only what has failed
            raise SystemExit(os.EX_UNAVAILABLE)
    socket.close()


def require_servable(options: Options) -> None:
    """Refuse what can be told before weights are read.

    Raises:
        OptionError, ModelError: an option, or the model, could not be steered as erasers say.
    """
    engine_arguments(options, options.dtype)
    require_plain_weights(options.path)


def run(options: Options, ledger: Ledger) -> None:
    """Everything, from the model to the end of the server.

    Raises:
        EngineError: vLLM is missing, untried or set up otherwise than expected.
        OptionError: see `require_servable`.
        ModelError, LedgerError, ArtifactError: what there is to serve is not whole.
    """
    require_known()
    set_environment()
    from unsee.models.load import load
    from unsee.serve.server.logs import configure
    from unsee.serve.server.tenants import Roster

    configure(options.json_logs)
    Roster(options.tenants)  # refused before anything is loaded
    require_servable(options)
    loaded = load(options.path, dtype=options.dtype)
    prepared = prepare(loaded, ledger)
    release(loaded)
    part("uvloop:run")(serve(options, prepared, ledger))  # vLLM's own loop


def certify(options: Options, ledger: Ledger, prompts: str, out: Path, stages: Stages = silent) -> dict[str, Any]:
    """Compare library and engine under what is in force, and write the certificate.

    Args:
        options: as for a server.
        ledger: what is in force.
        prompts: a data set, some of it about what is erased.
        out: file.
        stages: progress display.
    """
    require_known()
    set_environment()
    from unsee.data import read
    from unsee.erase.eraser import Eraser
    from unsee.models.load import load
    from unsee.serve.parity.certificate import certificate, compare, expected, write

    require_servable(options)
    loaded, samples = load(options.path, dtype=options.dtype), read(prompts)
    prepared = prepare(loaded, ledger)
    active, folders = ledger.active_folders()
    reference = expected(loaded, samples, {i: Eraser.from_pretrained(f) for i, f in folders.items()}, stages)
    release(loaded)

    async def ask() -> Any:
        arguments = engine_arguments(options, prepared.dtype)
        async with engine_of(arguments, prepared, options.limits.engine_seconds) as (_, inside):
            await inside.load(
                {i: str(f) for i, f in folders.items()}, {n: list(s) for n, s in reference.sets.items() if s}
            )
            return [one for n in inside.ranks for one in await compare(reference, partial(inside.ask, rank=n), stages)]

    made: dict[str, Any] = certificate(reference, asyncio.run(ask())) | {"active_set": active.digest}
    made["model"] = {**made["model"], "id": options.model}  # what it is called, not where it lies here
    write(made, out)
    return made
