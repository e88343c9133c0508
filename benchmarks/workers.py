"""What workers of Ray add and cost: prompts per second with 1, 2 and 4, and memory as the number of prompts grows.

Processes stand for machines here; they share its cores. "Foretold" is the arithmetic of docs/scale.md: prompts per
second of one worker, times how many of them have a core each. Memory is the peak of the process that gathers, above
its peak with the model loaded, the peak of a worker likewise, and the most that lay in the object store, for ten times
as many prompts: "sums" keeps moments, "states" the half-precision states that a profile keeps.

    python -m benchmarks.workers --markdown
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from benchmarks.capture import peak_bytes, questions
from benchmarks.common import Columns, Row, arguments, publish

from unsee.erase.fit.activations import capture, capture_batches
from unsee.erase.fit.moments import Moments
from unsee.models.load import LoadedModel, load
from unsee.workers import Workers
from unsee.workers.cluster import Cluster
from unsee.workers.ray import on_ray

MODEL, LAYERS = "world:llava", (1, 2, 3)
TIME: Columns = {
    "workers": lambda row: str(row["workers"]),
    "prompts/s": lambda row: f"{row['speed']:.1f}",
    "foretold": lambda row: f"{row['foretold']:.1f}",
    "CPU ms per prompt, of workers": lambda row: f"{row['cpu']:.1f}",
    "ready after (s)": lambda row: f"{row['ready']:.1f}",
}
MEMORY: Columns = {
    "kept": lambda row: row["kept"],
    "prompts": lambda row: str(row["prompts"]),
    "gathering process, above idle (MiB)": lambda row: f"{row['here'] / 2**20:.1f}",
    "of it, result (MiB)": lambda row: f"{row['result'] / 2**20:.1f}",
    "a worker, above idle (MiB)": lambda row: f"{row['there'] / 2**20:.1f}",
    "object store, most (MiB)": lambda row: f"{row['store'] / 2**20:.1f}",
}
_ROOT = Path(__file__).parents[1]


def about(loaded: LoadedModel) -> Mapping[str, Any]:
    return {"digest": loaded.digest}


def spent(loaded: LoadedModel, part: None) -> tuple[int, float]:
    return os.getpid(), sum(os.times()[:2])


def peak(loaded: LoadedModel, part: None) -> tuple[int, int]:
    return os.getpid(), peak_bytes()


def of_each(workers: Workers[LoadedModel], ask: Any, count: int) -> dict[int, Any]:
    """What every worker says, by process."""
    found = dict[int, Any]()
    while len(found) < count:
        found |= dict(one for _, one in workers.map(ask, [None] * 4 * count))
    return found


def measure_time(options: argparse.Namespace) -> list[Row]:
    """All prompts, read by so many workers, after a first batch each that is not counted."""
    rows, samples = list[Row](), questions(options.prompts, 64)
    for count in options.workers:
        start = time.perf_counter()
        with on_ray(partial(load, MODEL), about, Cluster(count)) as workers:
            loaded = load(MODEL)
            ready = time.perf_counter() - start
            capture(loaded, samples[: count * 4 * options.batch_size], LAYERS, options.batch_size, workers=workers)
            before, start = of_each(workers, spent, count), time.perf_counter()
            capture(loaded, samples, LAYERS, options.batch_size, workers=workers)
            took = time.perf_counter() - start
            after = of_each(workers, spent, count)
        cpu = 1000 * sum(after[pid] - before[pid] for pid in before) / len(samples)
        rows.append({"workers": count, "speed": len(samples) / took, "cpu": cpu, "ready": ready})
    first = rows[0]["speed"] / rows[0]["workers"]
    return [row | {"foretold": first * min(row["workers"], os.cpu_count() or 1)} for row in rows]


def memory_of(kept: str, count: int, options: argparse.Namespace) -> Row:
    """Read so many prompts with two workers, in this process."""
    import ray

    torch.set_num_threads(1)
    with on_ray(partial(load, MODEL), about, Cluster(2)) as workers:
        loaded = load(MODEL)
        samples, whole = questions(count, 64), ray.cluster_resources()["object_store_memory"]
        capture(loaded, samples[: 4 * options.batch_size], LAYERS, options.batch_size, workers=workers)
        before, idle, store = of_each(workers, peak, 2), peak_bytes(), [0.0]

        def told(done: int) -> None:
            store.append(whole - ray.available_resources().get("object_store_memory", whole))

        if kept == "states":
            result = capture(
                loaded, samples, LAYERS, options.batch_size, workers=workers, dtype=torch.float16, progress=told
            )
            size = sum(states.nbytes for states in result.pooled.values())
        else:
            total = Moments.empty(loaded.adapter.hidden_size(loaded.model), (len(LAYERS),))
            for rows, states in capture_batches(loaded, samples, LAYERS, options.batch_size, workers=workers):
                total += Moments.of(states.last)
                told(len(rows))
            size = total.total.nbytes + total.second.nbytes
        after = of_each(workers, peak, 2)
        there = max(after[pid] - before[pid] for pid in before)
        return {"here": peak_bytes() - idle, "there": there, "store": max(store), "result": size}


def measure_memory(options: argparse.Namespace) -> list[Row]:
    """Every size in a process of its own."""
    rows = list[Row]()
    for kept in ("sums", "states"):
        for count in options.sizes:
            command = [sys.executable, "-m", "benchmarks.workers", "--only", kept, str(count)]
            command += ["--batch-size", str(options.batch_size)]
            done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True)
            rows.append({"kept": kept, "prompts": count} | json.loads(done.stdout.splitlines()[-1]))
    return rows


def main(command_line: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--prompts", type=int, default=512, help="whose reading is timed")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 2560], help="numbers of prompts, for memory")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--part", choices=("time", "memory", "both"), default="both")
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(command_line)
    if options.only:
        print(json.dumps(memory_of(options.only[0], int(options.only[1]), options)))
        return
    parts = {"Time": (measure_time, TIME), "Memory": (measure_memory, MEMORY)}
    asked = [name for name in parts if options.part in (name.lower(), "both")]
    tables = {name: (parts[name][0](options), parts[name][1]) for name in asked}
    publish("python -m benchmarks.workers", options, tables)


if __name__ == "__main__":
    main()
