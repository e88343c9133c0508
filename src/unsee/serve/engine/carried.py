"""The way of reports from the model's runner to the engine's client: in vLLM's own messages, with the tokens.

A runner's output carries those of all requests, and the scheduler's output of each request its own, in a field that
only transfers of cached states use, which are refused. So nobody has to ask, and no token is there before its report.
"""

from collections.abc import Mapping
from functools import wraps
from typing import Any

from unsee.serve.engine.compat import part
from unsee.serve.engine.counted import Counted
from unsee.serve.engine.reports import Reports
from unsee.serve.engine.tracking import TICKET

FIELD = "unsee_reports"
SCHEDULER = "vllm.v1.core.sched.scheduler:Scheduler"
CLIENT = "vllm.v1.engine.output_processor:OutputProcessor"


def reports_of(engine: Any) -> Reports:
    """Of an engine's client, `AsyncLLM` or `LLMEngine`: what comes with its outputs from now on."""
    processor = engine.output_processor
    if not hasattr(processor, FIELD):
        setattr(processor, FIELD, Reports())
    return getattr(processor, FIELD)


def send(output: Any, counted: Counted) -> None:
    """Let a runner's output carry the reports of its step; one that is still on the device, once it has come."""
    if not hasattr(output, "get_output"):
        setattr(output, FIELD, counted.reports())
        return
    arrive = output.get_output

    def get_output() -> Any:
        arrived = arrive()
        setattr(arrived, FIELD, counted.reports())
        return arrived

    output.get_output = get_output


def carry() -> None:
    """Hand reports on from the runner's output, in the engine, and take them in, in its client."""
    _hand_on(part(SCHEDULER))
    _take_in(part(CLIENT))


def _hand_on(scheduler: Any) -> None:
    update = scheduler.update_from_output

    @wraps(update)
    def update_from_output(self: Any, scheduler_output: Any, model_runner_output: Any, *args: Any, **kw: Any) -> Any:
        sent = update(self, scheduler_output, model_runner_output, *args, **kw)
        reports: Mapping[str, Any] = getattr(model_runner_output, FIELD, {})
        for outputs in sent.values() if reports else ():
            for output in outputs.outputs:
                if output.request_id in reports:
                    output.kv_transfer_params = {FIELD: reports[output.request_id]}
        return sent

    scheduler.update_from_output = update_from_output


def _take_in(client: Any) -> None:
    add, process = client.add_request, client.process_outputs

    @wraps(add)
    def add_request(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        ticket = (getattr(request.sampling_params, "extra_args", None) or {}).get(TICKET)
        if ticket is not None and hasattr(self, FIELD):
            getattr(self, FIELD).expect(request.request_id, ticket)
        return add(self, request, *args, **kwargs)

    @wraps(process)
    def process_outputs(self: Any, engine_core_outputs: Any, *args: Any, **kwargs: Any) -> Any:
        reports = getattr(self, FIELD, None)
        for output in engine_core_outputs:
            carried = output.kv_transfer_params
            report = carried.get(FIELD) if carried else None
            if report is not None:
                output.kv_transfer_params = None  # not for clients
            if reports is not None:
                reports.take(output.request_id, len(output.new_token_ids), report)
        return process(self, engine_core_outputs, *args, **kwargs)

    client.add_request, client.process_outputs = add_request, process_outputs
