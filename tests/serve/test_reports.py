"""The way of a report from the model's runner to whoever asked, over stand-ins for vLLM's messages."""

import json
from collections.abc import Iterator
from types import SimpleNamespace as Told
from typing import Any, cast

import pytest

from unsee.errors import SteeringError
from unsee.serve.engine import carried
from unsee.serve.engine.counted import Counted
from unsee.serve.engine.reports import Asked
from unsee.serve.engine.runners import follow
from unsee.serve.engine.tracking import TICKET

REPORT = {"tokens": 1, "steered": 3, "required": 3, "forced": 0, "due": 0, "highest": -0.5}


def said(reports: dict[str, Any]) -> Counted:
    return cast("Counted", Told(reports=lambda: reports))


class Vllm:
    """One engine: a scheduler that gives every request one token a step, and its client."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Scheduler:
            def update_from_output(self, scheduler_output: Any, model_runner_output: Any) -> dict[int, Any]:
                outputs = [
                    Told(request_id=name, new_token_ids=[7], kv_transfer_params=None) for name in scheduler_output
                ]
                return {0: Told(outputs=outputs)}

        class Client:
            def __init__(self) -> None:
                self.seen: list[Any] = []

            def add_request(self, request: Any, prompt: Any) -> None:
                pass

            def process_outputs(self, engine_core_outputs: Any) -> None:
                self.seen += [(one.request_id, one.kv_transfer_params) for one in engine_core_outputs]

        monkeypatch.setattr(carried, "part", {carried.SCHEDULER: Scheduler, carried.CLIENT: Client}.__getitem__)
        carried.carry()
        self.scheduler, self.output_processor = Scheduler(), Client()

    def add(self, name: str, ticket: str | None) -> None:
        extra = None if ticket is None else {TICKET: ticket}
        self.output_processor.add_request(Told(request_id=name, sampling_params=Told(extra_args=extra)), None)

    def step(self, names: list[str], reports: dict[str, Any], late: bool = False) -> None:
        output = Told()
        waiting = Told(get_output=lambda: output) if late else output
        carried.send(waiting, said(reports))
        assert not late or waiting.get_output() is output
        (outputs,) = self.scheduler.update_from_output(names, output).values()
        for one in outputs.outputs:  # it must survive the way between processes
            one.kv_transfer_params = json.loads(json.dumps(one.kv_transfer_params))
        self.output_processor.process_outputs(outputs.outputs)


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> Vllm:
    return Vllm(monkeypatch)


@pytest.fixture
def asked(vllm: Vllm) -> Iterator[Asked]:
    with carried.reports_of(vllm).opened("t") as asked:
        vllm.add("r", "t")
        yield asked


@pytest.mark.parametrize("late", [False, True])
def test_a_report_comes_with_its_token_and_goes_to_nobody_else(vllm: Vllm, asked: Asked, late: bool) -> None:
    with carried.reports_of(vllm).opened("u") as other:
        vllm.add("s", "u")
        vllm.add("x", None)
        vllm.step(["r", "s", "x"], {"r": REPORT, "s": REPORT | {"steered": 2}}, late)
        assert (asked.reports(), other.reports()[0]["steered"]) == ([REPORT], 2)
    assert vllm.output_processor.seen == [("r", None), ("s", None), ("x", None)]
    vllm.step(["r"], {"r": REPORT | {"tokens": 2}}, late)
    assert asked.reports()[0]["tokens"] == 2


@pytest.mark.parametrize(
    "second", [{}, {"r": REPORT}, {"r": REPORT | {"tokens": 3}}], ids=["none", "an old one", "one too far"]
)
def test_tokens_that_no_report_speaks_of_are_noticed_at_once(vllm: Vllm, asked: Asked, second: Any) -> None:
    vllm.step(["r"], {"r": REPORT})
    assert asked.reports()
    vllm.step(["r"], second)
    with pytest.raises(SteeringError, match=r"gave 2 token\(s\) of an answer"):
        asked.reports()


def test_one_of_two_answers_without_a_report_stops_both(vllm: Vllm, asked: Asked) -> None:
    vllm.add("1_r", "t")
    vllm.step(["r"], {"r": REPORT})
    assert asked.reports() == [REPORT], "the other has not begun"
    vllm.step(["1_r"], {})
    with pytest.raises(SteeringError, match="reported on none"):
        asked.reports()


def test_nothing_is_held_of_clients_that_have_gone(vllm: Vllm) -> None:
    reports = carried.reports_of(vllm)
    with reports.opened("t"):
        vllm.add("r", "t")
        vllm.step(["r"], {"r": REPORT})
    vllm.step(["r"], {"r": REPORT})
    vllm.add("late", "t")
    assert not vars(reports)["_asked"] and not vars(reports)["_told"]


def test_an_engine_whose_outputs_nobody_reads_hands_them_on(vllm: Vllm) -> None:
    vllm.step(["r"], {})
    assert vllm.output_processor.seen == [("r", None)]
    assert not hasattr(vllm.output_processor, carried.FIELD)


def test_a_rank_whose_output_goes_nowhere_stops_where_it_steers_otherwise() -> None:
    class Runner:
        def __init__(self, rank: int) -> None:
            self.parallel_config, self.model, self.kv_cache_config = Told(rank=rank), Told(unsee_number=0), None
            self.steps: list[dict[str, Any]] = []
            self.unsee_steerer = Told(fix=lambda logits: None, said=lambda tokens: said(self.steps.pop(0)))

        def execute_model(self, scheduler_output: Any) -> None: ...
        def _prepare_inputs(self, scheduler_output: Any) -> None: ...
        def _sample(self, logits: Any) -> Any:
            return Told(sampled_token_ids=[[1]])

        def sample_tokens(self, grammar: Any) -> Any:
            self._sample(None)
            return Told()

    follow(Runner)
    first, other = Runner(0), Runner(1)
    for runner in (first, other):
        runner.steps = [{"r": REPORT}, {"r": REPORT | {"steered": 2}}, {}]
    sent = [getattr(first.sample_tokens(None), carried.FIELD) for _ in range(3)]
    assert [one.get("r", {}).get("steered") for one in sent] == [3, 2, None], "whoever answers clients decides"
    assert not any(hasattr(other.sample_tokens(None), carried.FIELD) for _ in range(2))
    with pytest.raises(SteeringError, match="rank 1 steered otherwise"):
        other.sample_tokens(None)
