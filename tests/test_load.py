"""The load generator: arrivals are Poisson and wait for nobody; only loopback is asked; errors are counted."""

import asyncio
import json
import statistics

import pytest
from benchmarks import load

from endpoint import serving
from unsee.errors import OptionError


def test_arrivals_are_poisson_and_of_the_seed() -> None:
    due = load.arrivals(20.0, 500.0, seed=0)
    gaps = [after - before for before, after in zip([0.0, *due], due, strict=False)]
    assert due == sorted(due) == load.arrivals(20.0, 500.0, seed=0) != load.arrivals(20.0, 500.0, seed=1)
    assert statistics.mean(gaps) == pytest.approx(1 / 20, rel=0.05)
    assert statistics.stdev(gaps) == pytest.approx(1 / 20, rel=0.05), "as the mean: exponential"


def test_a_slow_server_slows_nobody_who_asks() -> None:
    """A server that takes one request at a time: waiting adds up, and is counted from when a request was due."""
    one_at_a_time, begun = asyncio.Lock(), list[str]()

    async def ask(question: str) -> None:
        begun.append(question)
        async with one_at_a_time:
            await asyncio.sleep(0.1)
        if question == "c":
            raise TimeoutError

    async def run() -> list[load.Sent]:
        sent = asyncio.ensure_future(load.filled(ask, ["a", "b", "c"], [0.0, 0.01, 0.02, 0.03, 0.04]))
        await asyncio.sleep(0.09)
        assert begun == ["a", "b", "c", "a", "b"], "all were sent before the first was answered"
        return await sent

    sent = asyncio.run(run())
    assert [one.error for one in sent] == ["", "", "TimeoutError", "", ""]
    assert sent[-1].seconds > 0.4 and sent[0].seconds < sent[-1].seconds
    row = load.row(50.0, sent, took=1.0)
    assert (row["sent"], row["answered"], row["errors"]) == (5, 4, {"TimeoutError": 1})
    assert row["latency"] == sorted(row["latency"]) and row["latency"][-1] <= max(one.seconds for one in sent)


@pytest.mark.parametrize(
    "address", ["http://example.org/v1", "http://10.0.0.1:80/v1", "127.0.0.1:8000", "ftp://[::1]/"]
)
def test_only_loopback_is_asked(address: str) -> None:
    with pytest.raises(OptionError, match="of loopback"):
        load.main([address])


def test_a_server_is_asked_over_http(capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as server:
        load.main([server.url, "--model", "m", "--rate", "40", "--seconds", "0.5", "--json"])
        found = json.loads(capsys.readouterr().out.splitlines()[-1])
    (row,) = found["tables"]["Open loop"]
    assert row["answered"] == row["sent"] == len(server.seen) - 1 > 5
    assert "key" not in found["settings"]
