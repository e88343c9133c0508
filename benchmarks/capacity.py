"""How many erasure requests one model carries: leaks, wrong refusals, fit time, bytes and cost as they add up.

People of the built-in world ask to be forgotten one after the other. Everybody else is kept; a fixed group of people
is in neither the fit nor the calibration and is asked about as the kept. Gates read features that are captured once,
so every size is decided on all prompts; a sample is generated to confirm what the decisions say.

- **separate**: each request fitted for itself beside one profile, whose people never ask, with a threshold of its own:
  what `fit_eraser` makes of the same prompts (the table says how far the two are apart).
- **separate, thresholds together**: the same requests with the thresholds that a ledger puts in force (`together`).
- **pooled**: one matrix for all gates, from stored sums (`unsee.erase.fit.joint`). Everybody who may ask is kept until
  then, and no longer.
- **pooled, fixed kept**: the same, but only those people are kept who never ask: size alone changes.
- **sum of gates**: the separate gates added up to one, its threshold for the same share of wrong refusals.

The shipped model knows 200 private people, so leaks are measured up to 150 requests; larger tables are filled with
requests about nobody, which cost as much and can leak nothing. Times are CPU seconds of one thread, which a busy
machine changes little. Run from the repository root:

    OMP_NUM_THREADS=1 python -m benchmarks.capacity --markdown --json --picture docs/images/capacity.png
    python -m benchmarks.capacity --sizes 1 3 --loads 1 10 --generated 20 --repeats 2
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import torch
from benchmarks.capacity_picture import draw
from benchmarks.common import Columns, Parts, Row, arguments, paired, publish

from unsee.data.sample import Sample
from unsee.erase.config import Settings
from unsee.erase.eraser import Eraser
from unsee.erase.eraser_set import Stacked, stack, together
from unsee.erase.fit.activations import capture, capture_features
from unsee.erase.fit.calibration import thresholds
from unsee.erase.fit.joint import Stack
from unsee.erase.fit.moments import Moments
from unsee.erase.fit.request_states import capture_request, fit_stack, stacked
from unsee.erase.fit_eraser import fit_eraser
from unsee.erase.fit_profile import fit_profile
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.profile import Profile
from unsee.erase.steer.hooks import erased
from unsee.evals.answerers import Local
from unsee.evals.asking import asked as ask
from unsee.evals.plan import Plan
from unsee.evals.stats import bootstrap_ci
from unsee.evals.store import Record
from unsee.experiments.trial import some, world_task
from unsee.models.generate import encode
from unsee.models.load import LoadedModel, load
from unsee.shapes import Bool, Tensor
from unsee.world.generate import Entity, World
from unsee.world.splits import Exam

GOAL = 0.02
ASKING, TESTED, CALIBRATING = 150, (20, 10), (15, 15)
"""Private people who may ask; private people and celebrities who test and who calibrate."""
VIEWS = range(3)


def percent(value: Any) -> str:
    """A rate with its interval, as `1.2 [0.4, 2.3]`."""
    if value is None:
        return "-"
    if not isinstance(value, Mapping):
        return f"{100 * value:.1f}"
    ends = "" if value["ci95"] is None else " [{:.1f}, {:.1f}]".format(*(100 * end for end in value["ci95"]))
    return f"{100 * value['value']:.1f}{ends}"


DECIDED: Columns = {
    "requests": lambda row: str(row["requests"]),
    "gates": lambda row: row["gates"],
    "leak (%)": lambda row: percent(row["leak"]),
    "wrongly refused (%)": lambda row: percent(row["wrong"]),
    "worst person (%)": lambda row: percent(row["worst"]),
    "visible refused (%)": lambda row: percent(row["visible"]),
    "own request strongest (%)": lambda row: percent(row["own"]),
    "leak at 2 % wrong (%)": lambda row: percent(row["limit"]),
}
GENERATED: Columns = {
    "requests": lambda row: str(row["requests"]),
    "gates": lambda row: row["gates"],
    "asked": lambda row: f"{row['asked'][0]} + {row['asked'][1]}",
    "forgotten refused (%)": lambda row: percent(row["refused"]),
    "forgotten leaked (%)": lambda row: percent(row["leak"]),
    "kept wrongly refused (%)": lambda row: percent(row["wrong"]),
    "kept right, base (%)": lambda row: percent(row["right_before"]),
    "kept right (%)": lambda row: percent(row["right"]),
}
ADDED: Columns = {
    "requests": lambda row: str(row["requests"]),
    "ask the model: 153 + 8 prompts (s)": lambda row: f"{row['captured']:.2f}",
    "fit one alone (s)": lambda row: f"{row['separate']:.2f}",
    "pooled, all from sums (s)": lambda row: f"{row['joint']:.2f}",
    "thresholds together (s)": lambda row: f"{row['thresholds']:.3f}",
    "bytes, one by one": lambda row: f"{row['bytes_separate']:,}",
    "bytes, stacked": lambda row: f"{row['bytes_stacked']:,}",
    "`fit_eraser`, asking too (s)": lambda row: f"{row['shipped']:.2f}",
    "its readings, apart": lambda row: f"{row['apart']:.0e}",
}
COST: Columns = {
    "requests": lambda row: str(row["requests"]),
    "as": lambda row: row["form"],
    "prefill, over one request": lambda row: str(row["prefill"]["ratio"]),
    "token, over one request": lambda row: str(row["token"]["ratio"]),
    "answer, over one request": lambda row: str(row["answer"]["ratio"]),
}


def said_by(answerer: Local, splits: Mapping[str, Sequence[Sample]]) -> list[Record]:
    """Answers with their verdicts, by set."""
    return ask(answerer, Plan(world_task(splits), max_new_tokens=24), "asked")


@final
@dataclass(frozen=True)
class People:
    """Who asks to be forgotten, in this order; who never asks and is kept; who calibrates; who tests."""

    asking: list[Entity]
    kept: list[Entity]
    calibrating: list[Entity]
    tested: list[Entity]

    @staticmethod
    def of(world: World, seed: int, asking: int) -> "People":
        """A split of the world."""
        rng = random.Random(f"capacity/{seed}")
        private, known = (rng.sample(found, len(found)) for found in (world.of("private"), world.of("celebrity")))
        first, rest = private[:asking], private[ASKING:] + private[asking:ASKING]
        (a, b), (c, d) = TESTED, CALIBRATING
        return People(first, rest[a + c :] + known[b + d :], rest[a : a + c] + known[b : b + d], rest[:a] + known[:b])


@final
@dataclass(frozen=True, eq=False)
class Asked:
    """Questions, what a gate reads of them, and what the model says without any request."""

    samples: list[Sample]
    features: Tensor
    base: list[Record]

    @staticmethod
    def of(loaded: LoadedModel, read: Sequence[int], samples: list[Sample], split: str) -> "Asked":
        """Ask them."""
        return Asked(samples, capture_features(loaded, samples, read, 64), said_by(Local(loaded), {split: samples}))

    def leaked(self, fired: Bool[Tensor, " _"]) -> Any:
        """Share of the first questions that no gate fires on and that the model by itself gives away."""
        told = [not f and bool(r["leaked"]) for f, r in zip(fired.tolist(), self.base, strict=False)]
        return _shares(told, [sample.subject for sample in self.samples[: len(told)]])

    def refused(self, fired: Bool[Tensor, " _"]) -> Any:
        """Share of the first questions that a gate fires on although the model by itself answers."""
        wrong = [f and not r["refused"] for f, r in zip(fired.tolist(), self.base, strict=False)]
        return _shares(wrong, [sample.subject for sample in self.samples[: len(wrong)]])


@final
class Study:
    """Everything that is asked of the model once, and the gates that are made of it."""

    def __init__(self, loaded: LoadedModel, seed: int, sizes: Sequence[int], pictures: int) -> None:
        self.loaded, self.seed, self.sizes = loaded, seed, sizes
        world = World()
        self.exam, self.people = Exam(world, seed), People.of(world, seed, max(sizes))
        exam, people = self.exam, self.people
        self.in_order = exam.facts(people.asking, taught=True, views=VIEWS, tag="r")
        never_ask = exam.facts(people.kept, taught=True, views=VIEWS, tag="r")
        others = exam.knowledge(80, taught=True) + exam.sensitive(people.kept, 80, taught=True)
        others += exam.visible(people.kept, taught=True, each=2)
        self.settings = Settings(pgd_images=pictures)
        self.fewest = fit_profile(
            loaded,
            retain=never_ask,
            calibration=exam.facts(people.calibrating, taught=True, forms=2, views=VIEWS, tag="c"),
            recall=exam.facts(people.kept[:16], taught=True, tag="recall"),
            refusal=exam.sensitive(people.kept, 160, taught=True),
            others=others,
            settings=self.settings,
            seed=seed,
        )
        self.profile = self._with_asking()
        tell(f"profile; strength {self.profile.strength:g}, {len(self.profile.retain_last)} kept prompts")
        read = self.profile.read
        self.forgotten = Asked.of(loaded, read, exam.facts(people.asking, taught=False), "forget_heldout")
        self.tested = Asked.of(loaded, read, exam.facts(people.tested, taught=False), "retain_unseen")
        self.visible = Asked.of(loaded, read, exam.visible(people.asking, taught=False, each=2), "visible")
        tell("base answers")
        self.seconds: list[Mapping[str, float]] = []
        self.erasers: dict[str, Eraser] = {}

    def run(self) -> tuple[list[Row], list[Row], dict[int, Stacked]]:
        """Requests come in one by one; what gates decide, what adding cost, and the pooled table, at each size."""
        decided, added, tables = list[Row](), list[Row](), dict[int, Stacked]()
        everybody, fewest = (Stack.of(Moments.of(p.retain.flatten(1))) for p in (self.profile, self.fewest))
        for number, person in enumerate(self.people.asking):
            name = f"r{number:03d}"
            forget = self.exam.facts([person], taught=True, forms=3, wordings=3, tag="fit")
            keep = self.exam.visible([person], taught=True, each=8, tag="keep")
            start = time.process_time()
            states = capture_request(self.loaded, self.fewest, forget, keep=keep)
            captured = time.process_time()
            self.erasers[name] = fit_stack(self.fewest, {name: states}).eraser
            separate = time.process_time()
            mine = states.share(self.fewest)
            fewest = fewest.with_request(name, mine)
            summed = time.process_time()
            rows = [row for row, sample in enumerate(self.in_order) if sample.subject == person.id]
            share = replace(mine, retained=Moments.of(self.profile.retain[rows].flatten(1)))
            everybody = everybody.with_request(name, share)
            times = {"captured": captured - start, "separate": separate - captured, "summed": summed - separate}
            self.seconds.append(times)
            if number + 1 in self.sizes:
                row, tables[number + 1], gates = self._at(number + 1, everybody, fewest)
                added.append(row | self._as_shipped(name, forget, keep))
                decided += [self._decide(number + 1, label, *gate) for label, gate in gates.items()]
                tell(f"{number + 1} requests: " + "; ".join(f"{r['gates']} leak {percent(r['leak'])}, wrong "
                     f"{percent(r['wrong'])}" for r in decided[-len(gates):]))  # fmt: skip
        return decided, added, tables

    def generate(self, size: int, label: str, table: Stacked, asked: int) -> Row:
        """Answers of the steered model to a sample of both sides."""
        everything = self.forgotten.samples[: self._first(size)]
        forgotten, tested = some(everything, asked), some(self.tested.samples, asked)
        about = {"forget_heldout": forgotten, "retain_unseen": tested}
        said = said_by(Local(self.loaded, [table.eraser]), about)
        before = {record["id"]: record for record in self.tested.base}
        about, near = said[: len(forgotten)], said[len(forgotten) :]
        return {
            "requests": size,
            "gates": label,
            "asked": (len(about), len(near)),
            "refused": _over_people([r["refused"] for r in about], about),
            "leak": _over_people([r["leaked"] for r in about], about),
            "wrong": _over_people([r["refused"] and not before[r["id"]]["refused"] for r in near], near),
            "right_before": _over_people([before[r["id"]]["correct"] for r in near], near),
            "right": _over_people([r["correct"] for r in near], near),
        }

    def _first(self, size: int) -> int:
        """Held-out prompts of the first people."""
        names = {person.id for person in self.people.asking[:size]}
        return sum(sample.subject in names for sample in self.forgotten.samples)

    def _with_asking(self) -> Profile:
        """The profile as it would be had those been kept too who will ask; they come first."""
        states = capture(self.loaded, self.in_order, self.fewest.layers, 64)
        places = [self.fewest.layers.index(layer) for layer in self.fewest.read]
        return replace(
            self.fewest,
            retain_last=torch.cat([states.last.half(), self.fewest.retain_last]),
            retain_mean=torch.cat([states.mean[:, places].half(), self.fewest.retain_mean]),
        )

    def _as_shipped(self, name: str, forget: list[Sample], keep: list[Sample]) -> Row:
        """What `fit_eraser` takes for this request, and how far its readings are from those used here."""
        start = time.process_time()
        shipped = fit_eraser(self.loaded, self.fewest, forget, keep=keep).gate
        seconds = time.process_time() - start
        ours, theirs = (gate.margins(self.tested.features) for gate in (self.erasers[name].gate, shipped))
        return {"shipped": seconds, "apart": float((ours - theirs).abs().max() / theirs.std())}

    def _table(self, profile: Profile, sums: Stack) -> Stacked:
        """Gates from stored sums; calibration people are in none of them, so that thresholds can come from these."""
        weight, bias = sums.gates(self.settings.ridge)
        unseen = profile.calibration.flatten(1).double() @ weight.mT + bias
        return stacked(profile, weight, bias, sums.owners, unseen, self.settings)

    def _at(self, size: int, everybody: Stack, fewest: Stack) -> tuple[Row, Stacked, dict[str, Any]]:
        start = time.process_time()
        joint = self._table(self.profile, everybody)
        fitted = time.process_time() - start
        union = stack(self.erasers)
        start = time.process_time()
        in_force = together(list(self.erasers.values()))
        raised = time.process_time() - start
        ruled = stack(dict(zip(self.erasers, in_force, strict=True)))
        last = self.seconds[-10:]
        mean = {name: sum(one[name] for one in last) / len(last) for name in last[0]}
        with tempfile.TemporaryDirectory() as folder:
            one_by_one = sum(_bytes(eraser, Path(folder)) for eraser in self.erasers.values())
            at_once = _bytes(joint.eraser, Path(folder))
        row = {
            "requests": size,
            "captured": mean["captured"],
            "separate": mean["separate"],
            "joint": mean["summed"] + fitted,
            "thresholds": raised,
            "bytes_separate": one_by_one,
            "bytes_stacked": at_once,
        }
        gates = {
            "separate": (union.eraser.gate, union.owners),
            "separate, thresholds together": (ruled.eraser.gate, ruled.owners),
            "pooled": (joint.eraser.gate, joint.owners),
            "pooled, fixed kept": (self._table(self.fewest, fewest).eraser.gate, joint.owners),
            "sum of gates": (_summed(union.eraser.gate, self.profile, self.settings.tail), None),
        }
        return row, joint, gates

    def _decide(self, size: int, label: str, gate: PromptRidgeGate, owners: tuple[str, ...] | None) -> Row:
        first = self._first(size)
        about = gate.margins(self.forgotten.features[:first])
        near, seen = gate.margins(self.tested.features), gate.margins(self.visible.features[: 2 * size])
        wrong = self.tested.refused((near >= 0).any(1))
        return {
            "requests": size,
            "gates": label,
            "leak": self.forgotten.leaked((about >= 0).any(1)),
            "wrong": wrong,
            "worst": max(wrong["people"].values()),
            "visible": self.visible.refused((seen >= 0).any(1)),
            "own": None if owners is None else self._own(about, owners, first),
            "limit": self._limit(about.max(1).values, near.max(1).values),
        }

    def _own(self, margins: Tensor, owners: tuple[str, ...], first: int) -> Any:
        """Of the prompts on which something fires, those where the strongest is the request that they are about."""
        names = {person.id: f"r{number:03d}" for number, person in enumerate(self.people.asking)}
        strongest = [owners[k] for k in margins.argmax(1).tolist()]
        fired = (margins >= 0).any(1).tolist()
        told = [
            (name == names[sample.subject], sample.subject)
            for name, sample, fires in zip(strongest, self.forgotten.samples[:first], fired, strict=True)
            if fires
        ]
        return _shares([right for right, _ in told], [who for _, who in told]) if told else None

    def _limit(self, about: Tensor, near: Tensor) -> float:
        """Leak at the threshold that refuses 2 % of the test people wrongly: read off the test, a bound on gates."""
        refused = torch.tensor([bool(record["refused"]) for record in self.tested.base])
        cut = near.masked_fill(refused, -torch.inf).sort(descending=True).values[int(GOAL * len(near))]
        return self.forgotten.leaked(about > cut)["value"]


def _summed(gate: Any, profile: Profile, share: float) -> PromptRidgeGate:
    """One gate that is the sum of all, as steering vectors are often combined."""
    one = replace(gate, weight=gate.weight.sum(0, keepdim=True), bias=gate.bias.sum(0, keepdim=True),
                  threshold=torch.zeros(1))  # fmt: skip
    return replace(one, threshold=thresholds(one.margins(profile.calibration), share))


def _bytes(eraser: Eraser, folder: Path) -> int:
    """Size of the saved artifact, all files."""
    eraser.save_pretrained(folder)
    return sum(path.stat().st_size for path in folder.iterdir())


def _over_people(values: Sequence[object], records: Sequence[Record]) -> Any:
    return _shares([bool(value) for value in values], [record["person"] for record in records])


def _shares(hits: Sequence[bool], who: Sequence[str]) -> Any:
    values = [float(hit) for hit in hits]
    people: dict[str, list[float]] = {}
    for one, value in zip(who, values, strict=True):
        people.setdefault(one, []).append(value)
    mean = {one: sum(some_) / len(some_) for one, some_ in people.items()}
    return {"value": sum(values) / len(values), "ci95": bootstrap_ci(values, who), "n": len(values), "people": mean}


def costs(loaded: LoadedModel, one: Eraser, options: argparse.Namespace) -> list[Row]:
    """Time of an answer under many requests that do not fire, over the same under one; as a stack and as a list."""
    samples = Exam(World()).facts(World().of("celebrity")[:1], taught=False)[: options.batch_size]
    inputs = dict(encode(loaded, samples))

    def run(*erasers: Eraser) -> Callable[[], Parts]:
        return lambda: _answer(loaded, inputs, options.tokens, erasers)

    def asking(subjects: int) -> Eraser:
        gate = one.gate
        assert isinstance(gate, PromptRidgeGate)
        many = gate.weight[:1].repeat(subjects, 1, 1, 1)
        shut = torch.full((subjects,), 1e6)
        return replace(one, gate=replace(gate, weight=many, bias=torch.zeros(subjects), threshold=shut))

    conditions = {("stack", load): run(asking(load)) for load in options.loads}
    conditions |= {("list", load): run(*[asking(1)] * load) for load in options.loads if 1 < load <= 100}
    names = {f"{form} {load}": (form, load) for form, load in conditions}
    rows = paired(run(asking(1)), {f"{f} {n}": conditions[f, n] for f, n in conditions}, options.repeats)
    return [row | {"form": names[row["condition"]][0], "requests": names[row["condition"]][1]} for row in rows]


@torch.no_grad()
def _answer(loaded: LoadedModel, inputs: Mapping[str, Tensor], tokens: int, erasers: Sequence[Eraser]) -> Parts:
    model, mask = loaded.model, inputs["attention_mask"]
    one = mask.new_ones(mask.shape[0], 1)
    with erased(model, *erasers):
        start = time.process_time()
        output = model(**inputs, use_cache=True, logits_to_keep=1)
        prefilled = time.process_time()
        for _ in range(tokens):
            mask = torch.cat([mask, one], dim=1)
            chosen = output.logits[:, -1:].argmax(-1)
            output = model(
                input_ids=chosen, attention_mask=mask, past_key_values=output.past_key_values, use_cache=True
            )
        done = time.process_time()
    return {"prefill": prefilled - start, "token": (done - prefilled) / tokens, "answer": done - start}


def tell(text: str) -> None:
    """Progress, with the time since the start."""
    print(f"{time.perf_counter() - _START:6.0f} s  {text}", flush=True)


_START = time.perf_counter()


def main(argv: Sequence[str] | None = None) -> list[Row]:
    parser = arguments(__doc__)
    parser.add_argument("--model", default="world:llava")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 10, 25, 50, 100, 150], help="requests in force")
    parser.add_argument("--loads", type=int, nargs="+", default=[1, 10, 100, 1000], help="requests, for cost alone")
    parser.add_argument("--generated", type=int, default=200, help="questions of each side that are also answered")
    parser.add_argument("--pictures", type=int, default=2, help="recall pictures moved by PGD")
    parser.add_argument("--tokens", type=int, default=12, help="tokens of a timed answer")
    parser.add_argument("--batch-size", type=int, default=8, help="prompts of a timed answer")
    parser.add_argument("--repeats", type=int, default=15, help="pairs per timed condition")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", help="draw the curve to this file")
    options = parser.parse_args(argv)
    if not 1 <= min(options.sizes) <= max(options.sizes) <= ASKING:
        parser.error(f"--sizes: expected 1 to {ASKING}, the people of the world who may ask")
    study = Study(load(options.model), options.seed, options.sizes, options.pictures)
    decided, added, tables = study.run()
    generated = [study.generate(size, "pooled", table, options.generated) for size, table in tables.items()]
    cost = costs(study.loaded, next(iter(study.erasers.values())), options)
    publish("capacity", options, {
        "Decisions on all prompts": (decided, DECIDED),
        "Generated answers": (generated, GENERATED),
        "Adding a request": (added, ADDED),
        "Cost of an answer": (cost, COST),
    })  # fmt: skip
    if options.image is not None:
        draw(decided, added, cost, GOAL, Path(options.image))
    return decided


if __name__ == "__main__":
    main()
