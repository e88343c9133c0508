"""What reading hidden states costs: time over plain forward passes, and memory as the number of samples grows.

Time: `capture` against encoding and running the same batches without hooks, every block read. "Plain again" shows
the noise and "encoding only" how much of the plain pass is no model at all.

Memory: peak of a fresh process above its peak with the model just loaded, for ten times as many samples each step.
"keeping" is `capture`, "streaming" is `capture_batches` into `Moments`, "discarding" reads batches and drops them: what
still grows there are the prompts themselves. All samples share one image, so that images do not count.

Run from the repository root:

    python -m benchmarks.capture --markdown
    python -m benchmarks.capture --part time --shape 32x2 --samples 4 --repeats 1 --json
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from benchmarks.common import Columns, Parts, Row, arguments, clock, paired, publish, random_llava, shape
from tests.tiny_llava import question

from unsee.data.sample import Sample
from unsee.erase.fit.activations import capture, capture_batches
from unsee.erase.fit.moments import Moments
from unsee.models.generate import batches_by_length, encode
from unsee.models.load import LoadedModel

TIME: Columns = {
    "condition": lambda row: row["condition"],
    "time, over plain forward": lambda row: str(row["all"]["ratio"]),
    "throughput, over plain forward": lambda row: f"{1 / row['all']['ratio'].median:.3f}",
    "plain forward (prompts/s)": lambda row: f"{1000 * row['samples'] / row['all']['base_ms'].median:.1f}",
}
MEMORY: Columns = {
    "path": lambda row: row["path"],
    "samples": lambda row: str(row["samples"]),
    "peak above idle (MiB)": lambda row: f"{row['peak'] / 2**20:.1f}",
    "result's tensors (MiB)": lambda row: f"{row['result'] / 2**20:.1f}",
    "peak, over fewest samples": lambda row: f"{row['growth']:.2f}",
}
PATHS = ("discarding", "streaming", "keeping")
_ROOT = Path(__file__).parents[1]


def questions(count: int, length: int) -> list[Sample]:
    """Image questions of unequal length, all over the same image."""
    first = question(0)
    return [replace(first, id=f"q{i}", question="x" * (length // 2 + i % (length // 2 + 1))) for i in range(count)]


def forward(loaded: LoadedModel, samples: Sequence[Sample], batch_size: int, run: bool = True) -> None:
    """The batches of `capture`, encoded and run without a hook, or only encoded."""
    for indices in batches_by_length(loaded, samples, batch_size):
        inputs = encode(loaded, [samples[i] for i in indices])
        if run:
            with torch.no_grad():
                loaded.model(**inputs, use_cache=False, logits_to_keep=1)


def stream(loaded: LoadedModel, samples: Sequence[Sample], layers: Sequence[int], batch_size: int) -> Moments:
    """Moments of the last prompt token at each layer, with nothing kept between batches."""
    moments = Moments.empty(loaded.adapter.hidden_size(loaded.model), (len(layers),))
    for _, states in capture_batches(loaded, samples, layers, batch_size, pool=("last",)):
        moments += Moments.of(states.last)
    return moments


def measure_time(options: argparse.Namespace) -> list[Row]:
    """All ways of reading against plain forward passes."""
    width, depth = options.shape
    loaded, layers = random_llava(width, depth, options.device), range(depth)
    samples, size = questions(options.samples, options.prompt), options.batch_size

    def timed(run: Callable[[], object]) -> Callable[[], Parts]:
        def once() -> Parts:
            start = clock(options.device)
            run()
            return {"all": clock(options.device) - start}

        return once

    conditions = {
        "plain again": lambda: forward(loaded, samples, size),
        "encoding only": lambda: forward(loaded, samples, size, run=False),
        "capture, last token": lambda: capture(loaded, samples, layers, size, pool=("last",)),
        "capture, last token and mean": lambda: capture(loaded, samples, layers, size),
        "capture_batches into Moments, last token": lambda: stream(loaded, samples, layers, size),
    }
    plain = timed(lambda: forward(loaded, samples, size))
    rows = paired(plain, {name: timed(run) for name, run in conditions.items()}, options.repeats)
    return [{"samples": len(samples)} | row for row in rows]


def peak_bytes() -> int:
    """Largest resident set of this process so far.

    Linux carries `ru_maxrss` over from the process that started this one, which holds torch itself and would hide
    all smaller peaks; VmHWM belongs to this program alone.
    """
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def peak_of(path: str, count: int, options: argparse.Namespace) -> dict[str, int]:
    """Read so many samples along one path, in this process: peak above idle and size of the result, in bytes."""
    width, depth = options.shape
    loaded, layers = random_llava(width, depth, options.device), range(depth)
    idle = peak_bytes()
    samples, size, result = questions(count, options.prompt), options.batch_size, 0
    if path == "keeping":
        result = capture(loaded, samples, layers, size, pool=("last",)).last.nbytes
    elif path == "streaming":
        moments = stream(loaded, samples, layers, size)
        result = moments.total.nbytes + moments.second.nbytes
    else:
        for _ in capture_batches(loaded, samples, layers, size, pool=("last",)):
            pass
    return {"peak": peak_bytes() - idle, "result": result}


def measure_memory(options: argparse.Namespace) -> list[Row]:
    """Every path and size in a process of its own."""
    rows: list[Row] = []
    for path in PATHS:
        taken = [{"path": path, "samples": count} | _in_fresh_process(path, count, options) for count in options.sizes]
        rows += [row | {"growth": row["peak"] / max(1, taken[0]["peak"])} for row in taken]
    return rows


def _in_fresh_process(path: str, count: int, options: argparse.Namespace) -> dict[str, int]:
    width, depth = options.shape
    given = {
        "shape": f"{width}x{depth}",
        "prompt": options.prompt,
        "batch-size": options.batch_size,
        "device": options.device,
    }
    command = [sys.executable, "-m", "benchmarks.capture", "--only", path, str(count)]
    command += [word for name, value in given.items() for word in (f"--{name}", str(value))]
    same_path = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, cwd=_ROOT, env=same_path, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main(argv: Sequence[str] | None = None) -> dict[str, list[Row]]:
    parser = arguments(__doc__)
    parser.add_argument("--part", choices=("time", "memory"), help="default: both")
    parser.add_argument("--shape", type=shape, default=(256, 4), metavar="WIDTHxLAYERS")
    parser.add_argument("--samples", type=int, default=128, help="prompts of the time part")
    parser.add_argument("--sizes", nargs="+", type=int, default=[300, 3000], help="prompts of the memory part")
    parser.add_argument("--prompt", type=int, default=64, help="longest question in bytes; the shortest is half of it")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=9, help="pairs per condition of the time part")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs=2, metavar=("PATH", "COUNT"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.only:
        print(json.dumps(peak_of(options.only[0], int(options.only[1]), options)))
        return {}
    tables: dict[str, tuple[list[Row], Columns]] = {}
    if options.part != "memory":
        tables["Time over plain forward (median and quartiles)"] = measure_time(options), TIME
    if options.part != "time":
        tables["Peak memory of a fresh process, above idle"] = measure_memory(options), MEMORY
    publish("capture", options, tables)
    return {title: rows for title, (rows, _) in tables.items()}


if __name__ == "__main__":
    main()
