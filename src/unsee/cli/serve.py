"""`unsee serve`: steered answers over OpenAI's interface, in stock vLLM, by what a ledger says is in force."""

from pathlib import Path
from typing import Annotated, Any

import typer
from click.core import ParameterSource

from unsee.cli.console import finish, say, stages_shown
from unsee.errors import OptionError

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Settings of the command: what it does not know is vLLM's."""


def serve(
    context: typer.Context,
    model: Annotated[
        str | None, typer.Argument(help="Checkpoint folder, hub id, or 'world:llava' for the shipped one.")
    ] = None,
    ledger: Annotated[
        Path | None, typer.Option(envvar="UNSEE_LEDGER", help="Folder of the ledger: what is in force.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file of all of these, and more; see docs, Serving.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    tenants: Annotated[Path | None, typer.Option(help="TOML file of API keys and whose erasures are whose.")] = None,
    untried_vllm: Annotated[
        bool, typer.Option("--untried-vllm", help="Take a vLLM that unsee was not tried on, if it passes the canary.")
    ] = False,
    certify: Annotated[
        Path | None, typer.Option(help="Write a parity certificate to this file and end; needs --prompts.")
    ] = None,
    prompts: Annotated[str | None, typer.Option(help="Questions for the certificate: folder or .jsonl.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Serve a model steered by a ledger; further options go to vLLM, as in --max-model-len 2048.

    Nothing is answered unsteered: without hooks, ledger or canary there is no server, and later 503.

    Example: unsee serve world:llava --ledger ledger --max-model-len 2048
    """
    from unsee.ledger.store import Ledger
    from unsee.models.names import located
    from unsee.serve.engine.compat import allow_untried, require_known
    from unsee.serve.server.options import read_options

    if untried_vllm:
        allow_untried()
    require_known()
    said = {name for name in context.params if context.get_parameter_source(name) != ParameterSource.DEFAULT}
    values: dict[str, Any] = {"model": model, "ledger": ledger, "host": host, "port": port, "dtype": dtype}
    values["tenants"] = tenants
    given = {name: value for name, value in values.items() if name in said}
    options = read_options(config, {**given, "engine": context.args})
    options = options.model_copy(update={"path": located(options.model)})
    from unsee.serve.server.launch import certify as write_certificate
    from unsee.serve.server.launch import run

    with Ledger(options.ledger) as opened:
        if certify is None:
            run(options, opened)
            return
        if prompts is None:
            raise OptionError("a certificate compares answers: --prompts is needed, some of them about what is erased.")
        with stages_shown() as stages:
            made = write_certificate(options, opened, prompts, certify, stages)
    verdict = "equal" if made["passed"] else "NOT equal"
    say(
        f"{verdict}: {made['same_tokens']} of {made['compared']} answers token by token, {made['same_verdicts']} "
        f"verdicts, largest difference {made['largest_logprob_difference']:.2g} nats. Saved {certify}"
    )
    finish(as_json, {name: value for name, value in made.items() if name != "differences"})
    if not made["passed"]:
        raise typer.Exit(1)
