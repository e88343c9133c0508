"""From a model and a ledger to an open door: library first, then the engine, the canary, and only then the socket."""

import asyncio
import gc
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from unsee.errors import MismatchError, OptionError
from unsee.ledger.store import Ledger
from unsee.progress import Stages, silent
from unsee.serve.engine.compat import part, require_known
from unsee.serve.engine.plugin import STEERABLE_GRAPHS, engine_options, set_environment
from unsee.serve.engine.tracking import NO_SET
from unsee.serve.server.front import listen, require_tls, without_effect
from unsee.serve.server.tenants import Tenants

if TYPE_CHECKING:
    from unsee.models.load import LoadedModel
    from unsee.serve.parity.canary import Canary

CANARY = "canary"
_OPTIONS = "vllm.entrypoints.launchers.cli_args"
_ENTRY = "vllm.entrypoints.launchers.api_server.entry"


@final
@dataclass(frozen=True)
class Options:
    """What a server is started with.

    Attributes:
        model: as the user names it; clients name it so too.
        path: where it lies.
        host: to listen on.
        port: to listen on.
        dtype: precision, or "auto".
        read_layers: layers that gates may read; none takes those of the ledger's artifacts and of a default fit.
        tenants: who may ask.
        engine: further options of vLLM, as on its command line.
    """

    model: str
    path: str
    host: str = "127.0.0.1"
    port: int = 8000
    dtype: str = "auto"
    read_layers: tuple[int, ...] = ()
    tenants: Tenants = field(default_factory=Tenants)
    engine: tuple[str, ...] = ()


@final
@dataclass(frozen=True)
class Prepared:
    """What the library has to say before the engine starts, without the model itself.

    Attributes:
        canary: of this model.
        tokenizer: of this model.
        read_layers: that gates may read.
        dtype: that the engine runs in.
        markers: tokens that stand for an image.
        special_tokens: whether the tokenizer adds the start token.
    """

    canary: "Canary"
    tokenizer: Any
    read_layers: tuple[int, ...]
    dtype: str
    markers: tuple[str, ...]
    special_tokens: bool


def prepare(loaded: "LoadedModel", ledger: Ledger, asked: Sequence[int] = ()) -> Prepared:
    """Check that ledger and model fit, and make the canary.

    Raises:
        MismatchError: an active request was fitted on other weights, or reads a layer that was not asked for.
        CanaryError: see `hatch`.
    """
    from unsee.data.sample import Sample
    from unsee.erase.config import Settings
    from unsee.models.generate import render
    from unsee.serve.parity.canary import hatch

    depth, needed = len(loaded.adapter.layers(loaded.model)), set[int]()
    for request, artifact in ((r, artifact) for r in ledger.requests() for artifact in r.artifacts.values()):
        if artifact.model_digest != loaded.digest and request.in_force == artifact:
            raise MismatchError(
                f"request {request.id} was fitted on weights {artifact.model_digest[:19]}..., but {loaded.name!r} has "
                f"{loaded.digest[:19]}.... Serve the model that it was fitted on."
            )
        if artifact.model_digest == loaded.digest:
            needed |= set(artifact.about["settings"]["read_layers"])
    read = tuple(sorted(asked or needed | set(Settings().layers_read(depth))))
    if not needed <= set(read) or read[-1] >= depth:
        raise MismatchError(
            f"the ledger's requests read layers {sorted(needed)} of {depth}, but --read-layers names {list(read)}. "
            "Name all of them."
        )
    marker = loaded.adapter.image_token(loaded.processor)
    text = render(loaded, [Sample("probe", "probe", "Hello?", "", "")])[0]
    start = loaded.processor.tokenizer.bos_token
    return Prepared(
        hatch(loaded, read, tuple(range(read[-1], depth))),
        loaded.processor.tokenizer,
        read,
        str(loaded.model.dtype).removeprefix("torch."),
        () if marker is None else (marker,),
        not (start is not None and text.startswith(start)),
    )


def release(loaded: "LoadedModel") -> None:
    """Give the memory of the library's copy back before the engine takes its own."""
    import torch

    loaded.model.to(device=torch.device("meta"))
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def engine_arguments(options: Options, prepared: Prepared) -> Any:
    """Arguments of vLLM, with what steering needs.

    Raises:
        OptionError: an option that would take something away.
    """
    parser = part("vllm.utils.argparse_utils:FlexibleArgumentParser")()
    parser = part(f"{_OPTIONS}:make_arg_parser")(parser)
    fixed = ["--host", options.host, "--port", str(options.port), "--dtype", prepared.dtype]
    named = ["--model", options.path, "--served-model-name", options.model]
    arguments = parser.parse_args([*fixed, *named, *options.engine])
    require_tls(arguments)
    front = {one.name: parser.get_default(one.name) for one in fields(part(f"{_OPTIONS}:FrontendArgs"))}
    own = engine_options(prepared.read_layers)
    # The operator's other options of compilation stay.
    graphs = own.pop("compilation_config")["cudagraph_mode"]
    given = arguments.compilation_config.cudagraph_mode
    refused = {
        f"cudagraph_mode {getattr(given, 'name', '')}": given is not None and given.name not in STEERABLE_GRAPHS,
        **dict.fromkeys(without_effect(arguments, front), True),
        "--grpc": bool(arguments.grpc),
        "--headless": bool(arguments.headless),
        "--tokenizer": bool(arguments.tokenizer),
        "--hf-overrides": bool(arguments.hf_overrides),
        "--additional-config": bool(arguments.additional_config),
        "--worker-extension-cls": bool(arguments.worker_extension_cls),
        "--model": arguments.model != options.path,
        "--dtype": arguments.dtype != prepared.dtype,
        "--api-server-count": (getattr(arguments, "api_server_count", None) or 1) > 1,
        "--data-parallel-size": arguments.data_parallel_size > 1,
    }
    wrong = [name for name, given in refused.items() if given]
    if wrong:
        raise OptionError(
            f"{', '.join(wrong)} cannot be given to the engine: 'unsee serve' sets it, cannot guarantee it, or would "
            "ignore it. Use its own options; keys of clients go into --tenants."
        )
    for name, value in own.items():
        setattr(arguments, name, value)
    if given is None:
        arguments.compilation_config.cudagraph_mode = part("vllm.config.compilation:CUDAGraphMode")[graphs]
    arguments.disable_fastapi_docs = True
    return arguments


@asynccontextmanager
async def engine_of(arguments: Any, prepared: Prepared) -> AsyncIterator[Any]:
    """A running engine that has passed the canary.

    Raises:
        CanaryError, EngineError: it must not serve.
    """
    from unsee.serve.parity.canary import fly
    from unsee.serve.server.asking import Inside

    async with part(f"{_ENTRY}:build_async_engine_client")(arguments) as engine:
        inside = Inside(engine, prepared.tokenizer)
        with tempfile.TemporaryDirectory(prefix="unsee-canary-") as folder:
            content_id = prepared.canary.eraser.save_pretrained(folder)
            await inside.load({content_id: folder}, {CANARY: [content_id]})

            async def ask(prompt: Any, steered: bool) -> Any:
                return await inside.ask(prompt, CANARY if steered else NO_SET)

            await fly(prepared.canary, ask, exact=prepared.dtype == "float32")
            await inside.load({}, {})
        # Its two prompts are in the cache, with states that are right for everybody; its gate is gone.
        yield engine


async def serve(options: Options, prepared: Prepared, ledger: Ledger) -> None:
    """Serve until told to stop."""
    from unsee.serve.server.admission import Admission
    from unsee.serve.server.door import Gatekeeper, Settings
    from unsee.serve.server.metrics import Metrics

    arguments = engine_arguments(options, prepared)
    part("vllm.logger:configure_logging_from_args")(arguments)
    address, socket = part("vllm.entrypoints.launchers.launcher:setup_server")(arguments, reuse_port=False)
    async with engine_of(arguments, prepared) as engine:
        admission = Admission(ledger, options.tenants, engine)
        await admission.start()
        tasks = await engine.get_supported_tasks()
        app = part("vllm.entrypoints.launchers.app:build_app")(arguments, tasks, engine.model_config)
        await part("vllm.entrypoints.launchers.api_server.app_state:init_app_state")(
            engine, app.state, arguments, tasks
        )
        settings = Settings(prepared.markers, prepared.special_tokens)
        # Around everything that vLLM has put on its application, handlers of errors included.
        stack = app.middleware_stack or app.build_middleware_stack()
        app.middleware_stack = Gatekeeper(stack, admission, options.tenants, settings, Metrics())
        print(f"unsee: the canary has passed; serving on {address}", file=sys.stderr, flush=True)
        ended = await listen(app, socket, arguments)
    await ended


def run(options: Options, ledger: Ledger, stages: Stages = silent) -> None:
    """Everything, from the model to the end of the server.

    Raises:
        EngineError: vLLM is missing, untried or set up otherwise than expected.
        ModelError, LedgerError, ArtifactError: what there is to serve is not whole.
    """
    del stages
    require_known()
    set_environment()
    from unsee.models.load import load

    loaded = load(options.path, dtype=options.dtype)
    prepared = prepare(loaded, ledger, options.read_layers)
    release(loaded)
    asyncio.run(serve(options, prepared, ledger))


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
    from unsee.serve.server.asking import Inside

    loaded, samples = load(options.path, dtype=options.dtype), read(prompts)
    prepared = prepare(loaded, ledger, options.read_layers)
    active, folders = ledger.active_folders()
    places = {r.artifact.content_id: folder for r, folder in zip(active.requests, folders, strict=True)}
    reference = expected(loaded, samples, {i: Eraser.from_pretrained(f) for i, f in places.items()}, stages)
    release(loaded)

    async def ask() -> Any:
        async with engine_of(engine_arguments(options, prepared), prepared) as engine:
            inside = Inside(engine, prepared.tokenizer)
            await inside.load(
                {i: str(f) for i, f in places.items()}, {n: list(s) for n, s in reference.sets.items() if s}
            )
            return await compare(reference, inside.ask, stages)

    made: dict[str, Any] = certificate(reference, asyncio.run(ask())) | {"active_set": active.digest}
    made["model"] = {**made["model"], "id": options.model}  # what it is called, not where it lies here
    write(made, out)
    return made
