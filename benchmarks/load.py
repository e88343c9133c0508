"""Open-loop load on a server of this machine: requests arrive when they arrive, whether or not others are answered.

Arrivals are a Poisson process, drawn before the first is sent, so that a slow server cannot slow down who asks it: the
latency of a request counts from when it should have been sent. Only loopback is asked: this fills your own server.

    python -m benchmarks.load http://127.0.0.1:8000/v1 --rate 4 --seconds 30
    python -m benchmarks.load http://127.0.0.1:8000/v1 --rate 1 --rate 2 --rate 4 --questions questions.jsonl --json
"""

import argparse
import asyncio
import ipaddress
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, final
from urllib.parse import urlsplit

import numpy as np
from benchmarks.common import Columns, Row, arguments, publish

from unsee.data import read
from unsee.errors import OptionError
from unsee.extras import extra

COLUMNS: Columns = {
    "offered (1/s)": lambda row: f"{row['rate']:g}",
    "sent": lambda row: str(row["sent"]),
    "answered": lambda row: str(row["answered"]),
    "errors": lambda row: ", ".join(f"{count} {name}" for name, count in row["errors"].items()) or "0",
    "answered (1/s)": lambda row: f"{row['throughput']:.2f}",
    "latency p50 / p90 / p99 (s)": lambda row: " / ".join(f"{one:.2f}" for one in row["latency"]),
    "sent late, p99 (ms)": lambda row: f"{1000 * row['late']:.0f}",
}
PERCENTILES = (50, 90, 99)


@final
@dataclass(frozen=True)
class Sent:
    """One request: seconds from when it was due to when it was answered, how late it was sent, and what went wrong."""

    seconds: float
    late: float
    error: str = ""


def require_loopback(address: str) -> None:
    """Refuse an address that is not this machine's.

    Raises:
        OptionError: it is another's, or no address.
    """
    host = urlsplit(address).hostname or ""
    try:
        here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = False
    if not here or urlsplit(address).scheme not in ("http", "https"):
        raise OptionError(
            f"the address is {address!r}, expected http://127.0.0.1:PORT/v1 or another of loopback: load is for a "
            "server of your own. Run this on the machine that it runs on."
        )


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Seconds at which requests are due, from 0: gaps are exponential with mean `1 / rate`."""
    draws, due, at = random.Random(seed), list[float](), 0.0
    while (at := at + draws.expovariate(rate)) < seconds:
        due.append(at)
    return due


async def filled(ask: Any, questions: Sequence[str], due: Sequence[float]) -> list[Sent]:
    """Send every request when it is due, and wait for all answers.

    Args:
        ask: a coroutine function of one question; what it raises is counted by name.
        questions: asked in turn.
        due: seconds from now.
    """
    start = time.perf_counter()

    async def one(question: str, at: float) -> Sent:
        await asyncio.sleep(max(0.0, start + at - time.perf_counter()))
        late, error = time.perf_counter() - start - at, ""
        try:
            await ask(question)
        except Exception as failed:  # noqa: BLE001 -- whatever a server does is what is measured
            error = type(failed).__name__
        return Sent(time.perf_counter() - start - at, late, error)

    return await asyncio.gather(*(one(question, at) for question, at in zip(cycle(questions), due, strict=False)))


def row(rate: float, sent: Sequence[Sent], took: float) -> Row:
    """What came of one rate; latency is that of answers, errors are counted beside it."""
    answered = [one.seconds for one in sent if not one.error]
    errors = [one.error for one in sent if one.error]
    return {
        "rate": rate,
        "sent": len(sent),
        "answered": len(answered),
        "errors": {name: errors.count(name) for name in sorted(set(errors))},
        "throughput": len(answered) / took,
        "latency": np.percentile(answered, PERCENTILES).tolist() if answered else [float("nan")] * len(PERCENTILES),
        "late": float(np.percentile([one.late for one in sent], 99)) if sent else 0.0,
    }


async def measured(options: argparse.Namespace, questions: Sequence[str]) -> list[Row]:
    """One row a rate, one after the other."""
    openai, rows = extra("openai", "endpoint"), list[Row]()
    async with openai.AsyncOpenAI(
        base_url=options.address, api_key=options.key, max_retries=0, timeout=options.timeout
    ) as client:
        model = options.model or (await client.models.list()).data[0].id

        async def ask(question: str) -> None:
            said = [{"role": "user", "content": question}]
            await client.chat.completions.create(model=model, messages=said, max_tokens=options.tokens, temperature=0)

        await ask(questions[0])  # whatever is made at the first request is not counted
        for rate in options.rate:
            start, due = time.perf_counter(), arrivals(rate, options.seconds, options.seed)
            rows.append(row(rate, await filled(ask, questions, due), time.perf_counter() - start))
    return rows


def main(command_line: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__)
    parser.add_argument("address", help="of an OpenAI-compatible server on loopback")
    parser.add_argument("--rate", type=float, action="append", help="requests per second; repeat (default 1)")
    parser.add_argument("--seconds", type=float, default=30.0, help="that requests arrive, at each rate")
    parser.add_argument("--questions", help="data with questions; its images are left out")
    parser.add_argument("--tokens", type=int, default=24, help="of an answer at most")
    parser.add_argument("--model", default="", help="what the server calls it (default: its first)")
    parser.add_argument("--key", default="none", help="of the server")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds that an answer may take")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(command_line)
    options.rate = options.rate or [1.0]
    require_loopback(options.address)
    if min(options.rate) <= 0 or options.seconds <= 0:
        raise OptionError(f"rates are {options.rate} for {options.seconds} s, expected numbers above 0.")
    asked = [one.question for one in read(options.questions)] if options.questions else ["what is the capital of aria?"]
    rows = asyncio.run(measured(options, asked))
    delattr(options, "key")
    publish("python -m benchmarks.load", options, {"Open loop": (rows, COLUMNS)})


if __name__ == "__main__":
    main()
