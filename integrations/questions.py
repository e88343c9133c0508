"""Questions of a benchmark as the JSON lines that every tool here reads, images beside them.

python -m integrations.questions world forget_by_name_free,forget_by_picture_free --limit 20 --out questions
"""

import argparse
from pathlib import Path

from unsee.data import Sample, read, write_jsonl
from unsee.data.benchmarks import benchmark_task
from unsee.data.sample import spread
from unsee.metrics.verdicts import score


def main() -> None:
    """Write them."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("benchmark")
    options.add_argument("sets", help="names with commas")
    options.add_argument("--data", default="", help="where the benchmark lies, where it needs data")
    options.add_argument("--limit", type=int, default=20, help="questions of each set, evenly spaced")
    options.add_argument("--out", type=Path, required=True)
    given = options.parse_args()
    sets = benchmark_task(given.benchmark, given.data).sets
    print(
        write_jsonl(
            [one for name in given.sets.split(",") for one in spread(sets[name].samples, given.limit)], given.out
        )
    )


def known(path: str) -> dict[str, Sample]:
    """Questions by id."""
    return {sample.id: sample for sample in read(path)}


def recovered(sample: Sample, answer: str | None) -> bool:
    """Whether an answer gives the fact away, as in every table of unsee."""
    return bool(score(sample, answer).leaked)


if __name__ == "__main__":
    main()
