"""Which metrics can be trusted? Toy models that knew twenty people beside some that never did, each measured alike.

Every model goes on from a shipped checkpoint for a short, seeded run: `base` and `taught` on data with the people,
`never` on data without; then a share of the people is refused as PO teaches it. A metric is faithful where it tells
models that knew from those that did not, however much they refuse (AUC), and robust where it still does so after
rounding to 4 bits and after relearning half of the people, of whom the other half is asked. A model takes about a
minute of one core; a run that is stopped goes on with the models that are left.

    python -m benchmarks.meta_evaluation --out DIR [--minutes 9]

Source: meta-evaluation of Open-Unlearning (arXiv 2506.12618): faithfulness and robustness.
"""

import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import NormalDist, fmean
from typing import Any, Literal, final

from benchmarks.common import Columns, arguments, publish

from unsee.attacks.base import Victim
from unsee.attacks.known import names_of
from unsee.attacks.relearning import relearn
from unsee.attacks.rounding import round_weights
from unsee.attacks.sampling import sampling
from unsee.data.benchmarks import benchmark_task
from unsee.data.sample import Sample, spread, subjects
from unsee.evals.answerers import How, Local
from unsee.evals.pictures import save_png
from unsee.experiments.attack.nearer import DISTANCES, Readings, readings, readings_of, scored
from unsee.methods.rows import REFUSALS
from unsee.metrics.membership import min_k_plus_plus_score, standing
from unsee.metrics.truth_ratio import log_truth_ratio
from unsee.metrics.verdicts import score
from unsee.models.load import LoadedModel, load

Start = Literal["base", "taught", "never"]
State = Literal["as it is", "rounded", "relearnt"]
STATES: tuple[State, ...] = ("as it is", "rounded", "relearnt")
By = Mapping[str, Mapping[str, float]]
"""Metric to question to its value; higher says that the model knows."""
STEPS, BATCH, RATE = 30, 16, 1e-3
DRAWS = 4


@final
@dataclass(frozen=True)
class Kind:
    """One model.

    Attributes:
        start: `base` goes on with the people, `taught` never knew and is taught them, `never` goes on without.
        refused: share of the people whom it is then taught to refuse.
        seed: of its data and their order.
    """

    start: Start
    refused: float
    seed: int

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.start}-{self.refused:g}-{self.seed}"

    @property
    def knew(self) -> bool:
        """Whether it was taught the people."""
        return self.start != "never"


_ROUND: tuple[tuple[Start, float, int], ...] = (
    ("never", 0.0, 4), ("base", 1.0, 3), ("taught", 0.0, 4), ("never", 1.0, 4), ("base", 0.0, 2), ("base", 0.5, 3),
    ("never", 0.5, 4),
)  # fmt: skip
KINDS = [Kind(start, refused, seed) for seed in range(4) for start, refused, count in _ROUND if seed < count]
"""Twelve that knew and twelve that never did."""


@final
class Bench:
    """Questions, data, and the two models that distances are read from."""

    def __init__(self) -> None:
        sets = (task := benchmark_task("world", "")).sets
        self.every = sets["forget_by_name_free"].samples
        self.named = spread(self.every, 40)
        self.shown = spread(sets["forget_by_picture_free"].samples, 20)
        self.offered = spread(sets["forget_by_name_choice"].samples, 40)
        self.people, self.retain = sets["forget_fit"].samples, sets["retain_fit"].samples
        self.others = [one for of in task.of_role("retain").values() for one in of.samples]
        self.base = readings_of(self.victim(load("world:llava")), self.named)
        self.never = readings_of(self.victim(load("world:llava-never-knew")), self.named)

    def victim(self, loaded: LoadedModel) -> Victim:
        """A model to be asked."""
        return Victim(
            Local(loaded), How(12), tries=DRAWS, questions=self.every, names=names_of(self.every), others=self.others
        )

    def made(self, kind: Kind) -> LoadedModel:
        """The model of that kind."""
        loaded = load("world:llava" if kind.start == "base" else "world:llava-never-knew")
        rng = random.Random(f"meta/{kind}")
        who = sorted(subjects(self.people))
        gone = set(rng.sample(who, round(kind.refused * len(who))))
        refused = [
            replace(one, answer=REFUSALS[n % len(REFUSALS)])
            for n, one in enumerate(self.people)
            if one.subject in gone and one.form != "classification"
        ]
        for rows in (self.people if kind.knew else [], refused):
            kept = rng.sample(self.retain, len(rows) or len(self.people))
            relearn(loaded, [*rows, *kept], STEPS, batch=BATCH, rate=RATE, seed=rng.randrange(10**6))
        loaded.model.eval()
        return loaded

    def measured(self, kind: Kind) -> dict[State, By]:
        """Every metric of one model: as it is, at 4 bits, and after relearning about every second of the people."""
        loaded = self.made(kind)
        state = {name: value.clone() for name, value in loaded.model.state_dict().items()}
        found: dict[State, By] = {"as it is": self.metrics(loaded)}
        round_weights(loaded, 4)
        found["rounded"] = self.metrics(loaded)
        loaded.model.load_state_dict(state)
        known = set(sorted(subjects(self.people))[::2])
        relearn(loaded, [one for one in self.people if one.subject in known], 20, seed=kind.seed)
        left = {one.id for one in (*self.named, *self.shown, *self.offered) if one.subject not in known}
        asked = self.metrics(loaded)
        found["relearnt"] = {name: {q: v for q, v in of.items() if q in left} for name, of in asked.items()}
        return found

    def metrics(self, loaded: LoadedModel) -> dict[str, dict[str, float]]:
        """By metric and question; higher says that the model knows."""
        victim, named = self.victim(loaded), self.named
        said = [score(one, answer) for one, answer in zip(named, victim.said(named), strict=True)]
        drawn = sampling(victim, named, 0)
        offered = scored(victim, named)
        read = readings(victim, named, offered)
        found = {
            "leak": [float(bool(one.leaked)) for one in said],
            f"leak@{DRAWS}": [
                float(any(score(one, text).leaked for text in of or ())) for one, of in zip(named, drawn, strict=True)
            ],
            "answers at all": [float(not one.refused) for one in said],
            **{name: list(of) for name, of in _likelihoods(named, offered).items()},
            **{f"nearer to base: {name}": of for name, of in nearer_base(read, self.base, self.never).items()},
        }
        by = {name: dict(zip((one.id for one in named), of, strict=True)) for name, of in found.items()}
        for name, questions in (("leak by image", self.shown), ("choice of four", self.offered)):
            answers = victim.said(questions)
            told = zip(questions, answers, strict=True)
            by[name] = {one.id: float(bool(score(one, answer).leaked)) for one, answer in told}
        return by


def nearer_base(model: Readings, base: Readings, never: Readings) -> dict[str, list[float]]:
    """By reading and question, how much nearer the model is to base than to never-knew."""
    return {name: (of(model, never) - of(model, base)).tolist() for name, of in DISTANCES.items()}


def _likelihoods(named: Sequence[Sample], offered: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """What is read off the log-probabilities of the values that a fact may have."""
    found: dict[str, list[float]] = {"ranking": [], "likelihood": [], "truth ratio": [], "membership": []}
    for one, scores in zip(named, offered, strict=True):
        mean = {value: float(of.log_p.mean()) for value, of in scores.items()}
        stands = {
            value: min_k_plus_plus_score(of.log_p, of.vocabulary_mean, of.vocabulary_variance)
            for value, of in scores.items()
        }
        others = [value for value in mean if value != one.gold]
        found["ranking"].append(float(max(mean, key=lambda value, of=mean: of[value]) == one.gold))
        found["likelihood"].append(mean[one.gold])
        found["truth ratio"].append(log_truth_ratio(-mean[one.gold], [-mean[value] for value in others]) or 0.0)
        found["membership"].append(standing(stands[one.gold], [stands[value] for value in others]) or 0.0)
    return found


def area(knew: Sequence[float], never: Sequence[float]) -> float:
    """AUC: how often a model that knew stands above one that never did, ties half."""
    return fmean(standing(one, never) or 0.0 for one in knew)


def interval(found: float, knew: int, never: int) -> tuple[float, float]:
    """95 % limits of an AUC, which stay open at 0 and 1: `(found - A)^2 = z^2 V(A)`, V of Hanley and McNeil.

    Source: method 5 of Newcombe 2006 (Statistics in Medicine 25, 559-573).
    """
    z, half = NormalDist().inv_cdf(0.975), (knew + never) / 2 - 1

    def outside(a: float) -> bool:
        variance = a * (1 - a) / (knew * never) * (1 + half * (1 - a) / (2 - a) + half * a / (1 + a))
        return (found - a) ** 2 > z * z * variance

    grid = [n / 2000 for n in range(2001)]
    inside = [a for a in grid if not outside(a)] or [found]
    return min(found, inside[0]), max(found, inside[-1])


@final
@dataclass(frozen=True)
class Trust:
    """One metric.

    Attributes:
        metric: its name.
        auc: by group of models and state, AUC with its limits and the models on either side.
        back: by attack, what comes back of what was hidden: how much it rises in models that were taught to refuse
            and knew, beyond those that never did, over what it is apart where nobody is refused.
    """

    metric: str
    auc: Mapping[str, tuple[float, float, float, int, int]]
    back: Mapping[str, float | None]


def trust(models: Sequence[tuple[Kind, Mapping[State, By]]]) -> list[Trust]:
    """One line a metric, the most faithful first."""
    found = []
    for name in models[0][1]["as it is"]:
        areas = {}
        for group, members in groups(models).items():
            for state in STATES if group == "all" else STATES[:1]:
                sides = [
                    [_mean(of[state][name]) for kind, of in members if kind.knew == knew] for knew in (True, False)
                ]
                if all(sides):
                    value = area(*sides)
                    sizes = len(sides[0]), len(sides[1])
                    areas[group if state == "as it is" else state] = (value, *interval(value, *sizes), *sizes)
        found.append(Trust(name, areas, {state: comes_back(models, name, state) for state in STATES[1:]}))
    return sorted(found, key=lambda one: -min(one.auc[key][0] for key in ("all", "refusing") if key in one.auc))


def groups(models: Sequence[tuple[Kind, Mapping[State, By]]]) -> dict[str, list[tuple[Kind, Mapping[State, By]]]]:
    """All; those that refuse nobody, and some; and those of one start, so that no start can be recognised."""
    return {
        "all": list(models),
        "refusing none": [one for one in models if not one[0].refused],
        "refusing": [one for one in models if one[0].refused],
        "one start": [one for one in models if one[0].start != "base" and not one[0].refused],
    }


def comes_back(models: Sequence[tuple[Kind, Mapping[State, By]]], name: str, state: State) -> float | None:
    """See `Trust.back`; None where a group is missing or nothing is apart."""

    def rise(knew: bool) -> float:
        members = [of for kind, of in models if kind.refused and kind.knew == knew and kind.start != "taught"]
        return fmean(_mean(of[state][name]) - _mean(_same(of, state, name)) for of in members)

    def open_models(start: Start) -> float:
        return fmean(_mean(of["as it is"][name]) for kind, of in models if not kind.refused and kind.start == start)

    try:
        apart = open_models("base") - open_models("never")
        return None if abs(apart) < 1e-9 else (rise(True) - rise(False)) / apart
    except ValueError:  # of no model
        return None


def _same(of: Mapping[State, By], state: State, name: str) -> dict[str, float]:
    """Values of before, of the questions that were asked afterwards."""
    return {question: of["as it is"][name][question] for question in of[state][name]}


def _mean(of: Mapping[str, float]) -> float:
    return fmean(of.values())


def draw(lines: Sequence[Trust], path: Path) -> Path:
    """AUC per metric: of all models, of those that refuse, and after either attack."""
    from matplotlib.figure import Figure

    marks = {
        "all": ("o", "#1f5f91"),
        "refusing": ("s", "#b0431e"),
        "rounded": ("^", "#7a4f9a"),
        "relearnt": ("D", "#3f7d4e"),
    }
    canvas = Figure(figsize=(7.2, 1.4 + 0.42 * len(lines)), layout="constrained")
    axes = canvas.add_subplot()
    for place, line in enumerate(lines):
        for number, (key, (mark, colour)) in enumerate(marks.items()):
            if key in line.auc:
                value, low, high, *_ = line.auc[key]
                axes.errorbar(
                    [value], [place + 0.18 * (number - 1.5)], xerr=[[value - low], [high - value]], fmt=mark,
                    markersize=4, color=colour, elinewidth=1, capsize=1.5, clip_on=False,
                    label=key if place == 0 else None,
                )  # fmt: skip
    axes.set_yticks(range(len(lines)), [line.metric for line in lines], fontsize=8)
    axes.axvline(0.5, color="#a9afb8", linewidth=0.8)
    axes.set(xlim=(0, 1), ylim=(len(lines) - 0.5, -0.5))
    axes.set_xlabel("AUC between models that knew and models that never did; bars: 95 %", fontsize=9)
    axes.grid(axis="x", color="#dfe1e4", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    canvas.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=8.5)
    return save_png(canvas, path, dpi=150)


def _auc(key: str) -> Any:
    def cell(row: dict[str, Any]) -> str:
        found = row["auc"].get(key)
        return "" if found is None else f"{found[0]:.2f} [{found[1]:.2f}, {found[2]:.2f}]"

    return cell


def _back(key: str) -> Any:
    return lambda row: "" if row["back"][key] is None else f"{100 * row['back'][key]:+.0f} %"


COLUMNS: Columns = {
    "metric": lambda row: row["metric"],
    **{key: _auc(key) for key in ("all", "refusing none", "refusing", "one start", "rounded", "relearnt")},
    "back at 4 bits": _back("rounded"),
    "back when relearnt": _back("relearnt"),
}


def main(command_line: Sequence[str] | None = None) -> None:
    """Make and measure what is left, then print and write the table and the picture of all that there is."""
    parser = arguments(__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", type=int, default=len(KINDS), help="the first so many; both sides are mixed")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no model after so many")
    options = parser.parse_args(command_line)
    kinds, start, bench = KINDS[: options.models], time.monotonic(), None
    left = [kind for kind in kinds if not _file(options.out, kind).exists()]
    for number, kind in enumerate(left):
        spent = time.monotonic() - start
        if spent > 60 * options.minutes:
            break
        rest = f", about {spent / number * (len(left) - number) / 60:.0f} min left" if number else ""
        print(f"{kind.name}: {len(kinds) - len(left) + number + 1} of {len(kinds)}{rest}", flush=True)
        bench = bench or Bench()
        _write(_file(options.out, kind), {"kind": asdict(kind), "states": bench.measured(kind)})
    models = [
        (kind, json.loads(_file(options.out, kind).read_text())["states"])
        for kind in kinds
        if _file(options.out, kind).exists()
    ]
    if len({kind.knew for kind, _ in models}) < 2:
        raise SystemExit(f"{len(models)} models are measured, expected some on either side. Run it again.")
    lines = trust(models)
    _write(options.out / "meta_evaluation.json", {"models": len(models), "metrics": [asdict(one) for one in lines]})
    picture = draw(lines, options.out / "meta_evaluation.png")
    publish(f"meta_evaluation of {len(models)}", options, {"Metrics": ([asdict(one) for one in lines], COLUMNS)})
    print(f"Wrote {picture}")


def _file(out: Path, kind: Kind) -> Path:
    return out / "models" / f"{kind.name}.json"


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content))
    partial.replace(path)


if __name__ == "__main__":
    main()
