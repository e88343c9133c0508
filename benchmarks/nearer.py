"""Where erased models stand between base and never-knew, and whether the test can tell models in between.

python -m benchmarks.nearer world:llava --eraser r-0001 --out DIR
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from unsee.attacks.base import Victim, lent
from unsee.attacks.known import names_of
from unsee.cli.options import erasers_of
from unsee.data.benchmarks import benchmark_task
from unsee.data.sample import spread
from unsee.evals.answerers import How, Local
from unsee.experiments.attack.nearer import places, readings_of
from unsee.models.load import load
from unsee.models.names import never_knew_of


def main() -> None:
    """Print and write where each stands."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("model")
    options.add_argument("--eraser", type=Path, action="append", default=[], help="each stands alone")
    options.add_argument("--set", dest="sets", action="append", default=[])
    options.add_argument("--limit", type=int, default=40)
    options.add_argument("--out", type=Path, required=True)
    given = options.parse_args()
    task = benchmark_task("world", "")
    every = [one for name in given.sets or ["forget_by_name_free"] for one in task.sets[name].samples]
    asked, others = spread(every, given.limit), [one for of in task.of_role("retain").values() for one in of.samples]

    def victim(answerer: Local) -> Victim:
        return Victim(answerer, How(12), questions=every, names=names_of(every), others=others)

    loaded, twin = load(given.model), load(never_knew_of(given.model) or "")
    base, never = (readings_of(victim(Local(one)), asked) for one in (loaded, twin))
    found = {"base": base, "never knew": never}
    for path in given.eraser:
        found[str(path)] = readings_of(victim(Local(loaded, erasers_of([path], loaded))), asked)
    towards = twin.model.state_dict()
    for share in (0.25, 0.5, 0.75):
        with lent(loaded):
            mixed = {
                n: w.lerp(towards[n], share) if w.is_floating_point() else w
                for n, w in loaded.model.state_dict().items()
            }
            loaded.model.load_state_dict(mixed)
            found[f"{share:.0%} of the way to never-knew"] = readings_of(victim(Local(loaded)), asked)
    rows = {}
    for name, of in found.items():
        rows[name] = {k: asdict(p) for k, p in places(of, base, never, [one.subject for one in asked]).items()}
        print(name, {k: f"{p['place']:+.2f} {p['nearer']} {p['figure']['interval']}" for k, p in rows[name].items()})
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "nearer.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
