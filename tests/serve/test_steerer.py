"""The steerer against sums worked out token by token: any chunks, any order, any cache, any sets, gates and replies."""

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from types import SimpleNamespace as Told
from typing import Any

import pytest
import torch
from benchmarks.serving_counts import DEPTH as DEPTH_COUNTED
from benchmarks.serving_counts import READ as READ_COUNTED
from benchmarks.serving_counts import row

from unsee.erase.eraser import Eraser
from unsee.erase.eraser_set import together
from unsee.erase.gates.null_space import NullSpaceGate
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.gates.scope import Scope
from unsee.erase.gates.subject import SubjectGate
from unsee.erase.replies.base import FREE, Reply
from unsee.erase.replies.canned import CannedReply
from unsee.erase.replies.prefix import PrefixReply
from unsee.erase.replies.steer import SteerReply
from unsee.errors import MismatchError, SteeringError
from unsee.models.turns import TurnTokens
from unsee.serve.engine.reports import Asked as Heard
from unsee.serve.engine.steerer import Shape, Steerer
from unsee.serve.engine.tracking import CACHE, NO_SET, SET
from unsee.serve.errors import EngineError
from unsee.serve.server.admission import Admitted
from unsee.serve.server.verdict import verdict_of
from unsee.shapes import Tensor

DEPTH, WIDTH, READ, BLOCK, VOCABULARY = 4, 6, (1, 2), 4, 50
TURN, IMAGE, STOPS, TAIL = 3, 40, (5, 9), 1
"""The token that opens a user's turn; those from IMAGE on are of images, one after the other of one image; those that
end a sentence; and how many stand behind a turn."""
SHAPE = Shape("llava", DEPTH, WIDTH, VOCABULARY, 128, BLOCK)


def eraser(number: int, bias: float, shared: bool = False) -> Eraser:
    generator = torch.Generator().manual_seed(number)
    gate = PromptRidgeGate(
        READ,
        torch.randn(2, len(READ), 2, WIDTH, generator=generator),
        torch.randn(2, generator=generator) + bias,
        torch.randn(2, generator=generator) / 10,
    )
    trajectory = torch.randn(2, 3, WIDTH, generator=torch.Generator().manual_seed(99 if shared else number))
    return Eraser({"id": "m", "revision": None, "digest": "d"}, "llava", (2, 3), gate, trajectory, 0.5 + number, "x")


def early(number: int, bias: float, layers: tuple[int, ...]) -> Eraser:
    """Reads one layer only, so that it is decided before the others, and has a longer trajectory."""
    generator = torch.Generator().manual_seed(number)
    gate = PromptRidgeGate((1,), torch.randn(1, 1, 2, WIDTH, generator=generator), torch.tensor([bias]), torch.zeros(1))
    trajectory = torch.randn(len(layers), 4, WIDTH, generator=generator)
    return Eraser({"id": "m", "revision": None, "digest": "d"}, "llava", layers, gate, trajectory, 0.5, "x")


def calibrated(number: int, prompt: int, score: float) -> Eraser:
    """It opens on one of three retained prompts by itself, so that with another of its kind its threshold is higher."""
    opened = {"prompts": 3, "scores": {str(prompt): score}}
    kept = {"false_fires": {"profile": "00" * 32, "prompt": opened}}
    return replace(eraser(number, 1.0), settings={"tail": 0.5, "floor": 0.5, **kept})


def by_subject(number: int, bias: float, reply: Reply, layers: tuple[int, ...] = (2, 3)) -> Eraser:
    """Two subjects and two scopes; odd numbers have a scope that even ones share with each other."""
    generator = torch.Generator().manual_seed(number)
    weight, width = torch.randn(2, 2, len(READ), WIDTH, generator=generator), (2, 4, len(READ), WIDTH)
    draw = generator if number % 2 else torch.Generator().manual_seed(0)
    weights, open_by = torch.randn(width, generator=draw) / 4, torch.randn(2, 4, generator=draw) + 1.0
    scope = Scope(weights, torch.randn(2, 4, generator=draw) / 4, open_by)
    biases = torch.randn(2, 2, generator=generator) + bias
    turn = TurnTokens(torch.tensor([TURN]), torch.tensor([TAIL]), torch.tensor(STOPS))
    limits = torch.randn(2, 2, generator=generator) / 2
    gate = SubjectGate(READ, weight, biases + limits, limits, scope, torch.tensor([1, 0]), turn)
    trajectory = torch.randn(len(layers), 3, WIDTH, generator=generator)
    model = {"id": "m", "revision": None, "digest": "d"}
    return Eraser(model, "llava", layers, gate, trajectory, 0.5 + number, "x", reply=reply)


ERASERS = {
    "s": by_subject(12, -1.0, PrefixReply("so", (7, 8), steers=True)),
    "t": by_subject(13, -1.5, CannedReply("it is", (9, 10, 11))),
    "u": by_subject(14, -1.5, PrefixReply("ah", (12, 13, 14, 15))),
    "v": by_subject(16, -2.0, PrefixReply("oh", (16,), steers=True), (3,)),
    "p": replace(eraser(11, -2.0), reply=CannedReply("no", (17, 18))),
    "a": eraser(1, 4.0),
    "b": eraser(2, -4.0),
    "c": eraser(3, 0.0, True),
    "d": eraser(4, 1.0, True),
    "e": early(5, 0.5, (1, 2, 3)),
    "h": early(8, 4.5, (2, 3)),
    "f": calibrated(6, 0, 2.0),
    "g": calibrated(7, 1, 3.0),
}
NAMES = ("A", "B", "AC", "CD", "AE", "AH", "F", "FG", "S", "T", "ST", "SU", "TUV", "SAP", "UC", "VUTS")
SETS = {name: list(name.lower()) for name in NAMES} | {"ALL": list(ERASERS)}
GATES = {
    name: {i: one.gate for i, one in zip(ids, together([ERASERS[i] for i in ids]), strict=True)}
    for name, ids in SETS.items()
}
MARGINS = dict[tuple[Any, ...], float]()


@dataclass
class Asked:
    """One request, with states that depend on its tokens up to each position and on nothing else."""

    id: str
    set_name: str
    tokens: list[int]
    prompt: int
    blocks: list[int] = field(default_factory=list)
    computed: int = 0

    def winner(self, layer: int | None = None) -> Eraser | None:
        """The eraser whose gate is furthest above its threshold, of those that steer a layer."""
        some = [i for i in SETS.get(self.set_name, []) if layer is None or layer in ERASERS[i].layers]
        first = max(some, key=self.margin, default=None)  # of equals the first of its set
        return ERASERS[first] if first is not None and self.margin(first) >= 0 else None

    def fixed(self, step: int) -> int:
        """The token that must follow a step of the answer."""
        first = self.winner()
        return FREE if first is None else int(first.reply.forced(torch.tensor([[step]])))

    def images(self) -> list[list[int]]:
        """Positions of each image."""
        found = dict[int, list[int]]()
        for position, token in enumerate(self.tokens[: self.prompt]):
            if token >= IMAGE:
                found.setdefault(token, []).append(position)
        return list(found.values())

    def state(self, layer: int, position: int) -> Tensor:
        generator = torch.Generator().manual_seed(hash((layer, *self.tokens[: position + 1])) % 2**31)
        return torch.randn(WIDTH, generator=generator)

    def added(self) -> dict[tuple[int, int], Tensor]:
        """What must be added by layer and position, in float64 and in the plainest words: by the strongest, once."""
        found: dict[tuple[int, int], Tensor] = {}
        for layer in range(DEPTH):
            one = self.winner(layer)
            for position in range(self.prompt - 1, len(self.tokens)) if one and one.reply.steers else ():
                assert one is not None
                step = min(position - self.prompt + 1, one.trajectory.shape[1] - 1)
                found[layer, position] = one.strength * one.trajectory[one.layers.index(layer), step].double()
        return found

    def margin(self, name: str) -> float:
        """The largest score less threshold of one eraser."""
        key = self.set_name, name, *self.tokens[: self.prompt]
        if key not in MARGINS:
            MARGINS[key] = self._margin(GATES[self.set_name][name])
        return MARGINS[key]

    def _margin(self, gate: object) -> float:
        if isinstance(gate, SubjectGate):
            return self.margin_by_subject(gate)
        assert isinstance(gate, PromptRidgeGate)
        scores = gate.bias.double() - gate.threshold.double()
        for r, layer in enumerate(gate.layers):
            last = self.state(layer, self.prompt - 1).double()
            mean = torch.stack([self.state(layer, p).double() for p in range(self.prompt)]).mean(0)
            scores = scores + gate.weight[:, r, 0].double() @ last + gate.weight[:, r, 1].double() @ mean
        return float(scores.max())

    def margin_by_subject(self, gate: SubjectGate) -> float:
        """The same of a subject gate: token by token."""
        opens = [p for p in range(self.prompt) if self.tokens[p] == TURN]
        start = opens[-1] + 1 if opens else 0
        text = [p for p in range(self.prompt) if self.tokens[p] < IMAGE]
        units = {(r, p): unit(self.state(layer, p)) for r, layer in enumerate(READ) for p in range(self.prompt)}

        def score(k: int, evidence: int, position: int) -> float:
            return sum(float(gate.weight[k, evidence, r].double() @ units[r, position]) for r in range(len(READ)))

        words, found = [p for p in text if p >= start], list[float]()
        begins = [start, *(p + 1 for p in words if self.tokens[p] in STOPS and self.prompt - 1 - p > TAIL)]

        def most_said(s: int, e: int) -> float:
            each = {
                p: sum(float(gate.scope.weight[s, e, r].double() @ units[r, p]) for r in range(len(READ)))
                - float(gate.scope.token[s, e])
                for p in words
            }
            return max(sum(each[p] for p in words if p >= begin) for begin in begins)

        for k in range(2):
            for when in (0, 1):
                named = [score(k, 0, p) for p in text if (p < start) == bool(when)]
                shown = [
                    sum(score(k, 1, p) for p in image) / len(image)
                    for image in self.images()
                    if (image[-1] < start) == bool(when)
                ]
                for evidence, some in enumerate((named, shown)):
                    s, e = int(gate.scope_of[k]), 2 * when + evidence
                    scope = float(gate.scope.bias[s, e]) + most_said(s, e)
                    subject = (
                        max(some, default=-1e9) + float(gate.bias[k, evidence]) - float(gate.threshold[k, evidence])
                    )
                    found.append(min(subject, scope))
        return max(found)


def unit(state: Tensor) -> Tensor:
    return state.double() / state.double().norm()


class Engine:
    """A scheduler in miniature: a block cache that finds prefixes, chunks, preemption."""

    def __init__(self, steerer: Steerer) -> None:
        self.steerer, self.cached = steerer, dict[tuple[Any, ...], int]()
        self.free = list(range(SHAPE.blocks))
        self.live: dict[str, Asked] = {}
        self.finished: set[str] = set()
        self.checked, self.fixed = 0, Counter[str]()
        self.reports = dict[str, dict[str, Any]]()

    def step(self, plan: dict[str, int], new: list[Asked], resumed: set[str] = frozenset()) -> None:  # pyright: ignore
        told_new, cached_ids, blocks_of, computed = [], [], [], []
        self.live |= {asked.id: asked for asked in new}
        plan = dict(plan)
        for name in plan:
            asked = self.live[name]
            if any(asked is one for one in new):
                self._place(asked)  # it may find blocks of the requests before it, computed in this very step
                plan[name] = min(plan[name], asked.prompt - asked.computed)
            count = plan[name]
            before = len(asked.blocks)
            while len(asked.blocks) * BLOCK < asked.computed + count:
                asked.blocks.append(self.free.pop(0))
            if any(asked is one for one in new):
                extra = {SET: asked.set_name, CACHE: asked.set_name}
                images = [Told(mm_position=Told(offset=p[0], length=len(p), is_embed=None)) for p in asked.images()]
                told_new.append(
                    Told(
                        req_id=name, prompt_token_ids=asked.tokens[: asked.prompt], mm_features=images[::-1],
                        block_ids=(list(asked.blocks),), num_computed_tokens=asked.computed,
                        sampling_params=Told(extra_args=extra),
                    )
                )  # fmt: skip
            else:
                cached_ids.append(name)
                fresh = asked.blocks if name in resumed else asked.blocks[before:]
                blocks_of.append((list(fresh),) if fresh else None)
                computed.append(asked.computed)
            for index in range((asked.computed + count) // BLOCK):  # found by others from now on, computed or not
                if (index + 1) * BLOCK <= asked.prompt - 1 or asked.set_name == NO_SET:
                    self.cached.setdefault(_key(asked, index + 1), asked.blocks[index])
        told = Told(
            scheduled_new_reqs=told_new,
            scheduled_cached_reqs=Told(
                req_ids=cached_ids, new_block_ids=blocks_of, num_computed_tokens=computed, resumed_req_ids=set(resumed)
            ),
            num_scheduled_tokens=plan,
            finished_req_ids=self.finished,
        )
        self.finished = set()
        self.steerer.hear(told)
        order = list(plan)
        random.Random(len(plan)).shuffle(order)
        self.steerer.begin(order, plan)
        for layer in range(DEPTH):
            rows = [(self.live[n], self.live[n].computed + i) for n in order for i in range(plan[n])]
            states = torch.stack([asked.state(layer, position) for asked, position in rows])
            pads = torch.full((3, WIDTH), torch.nan)  # a captured graph runs on more rows than there are
            residual = torch.cat([torch.randn(len(rows), WIDTH), pads])
            hidden = torch.cat([states, pads]) - residual
            before = hidden.clone()
            self.steerer.visit(layer, hidden, residual)
            for i, (asked, position) in enumerate(rows):
                expected = asked.added().get((layer, position), torch.zeros(WIDTH).double())
                torch.testing.assert_close((hidden - before)[i].double(), expected, atol=2e-5, rtol=1e-5)
                self.checked += 1
        self.steerer.end()
        self._choose(order, plan)
        for name, count in plan.items():
            self.live[name].computed += count
            if self.live[name].computed == len(self.live[name].tokens):
                self.finished.add(name)
                kept = set(self.cached.values())
                self.free = [block for block in self.live.pop(name).blocks if block not in kept] + self.free

    def _choose(self, order: list[str], plan: dict[str, int]) -> None:
        """Every request gets a row of logits; those of unfinished prompts are thrown away."""
        logits = torch.randn(len(order), VOCABULARY)
        before = logits.clone()
        self.steerer.fix(logits)
        for place, name in enumerate(order):
            asked = self.live[name]
            step = asked.computed + plan[name] - asked.prompt
            token = asked.fixed(step) if step >= 0 else FREE
            if token == FREE:
                assert torch.equal(logits[place], before[place])
            else:
                self.fixed[name] += 1
                assert logits[place, token] == 0 and logits[place].isneginf().sum() == VOCABULARY - 1
        reports = self.steerer.said(logits.argmax(1, keepdim=True).int()).reports()
        assert reports.keys() == {n for n in order if self.live[n].computed + plan[n] >= self.live[n].prompt}
        for name, told in reports.items():
            assert told["tokens"] == self.live[name].computed + plan[name] - self.live[name].prompt + 1
        self.reports |= reports

    def found(self, asked: Asked) -> int:
        """Blocks in the cache; the last prompt token is always computed."""
        count = 0
        while (count + 1) * BLOCK < asked.prompt and _key(asked, count + 1) in self.cached:
            count += 1
        return count

    def _place(self, asked: Asked) -> None:
        count = self.found(asked)
        asked.blocks = [self.cached[_key(asked, i + 1)] for i in range(count)]
        asked.computed = count * BLOCK


def _key(asked: Asked, blocks: int) -> tuple[Any, ...]:
    return asked.set_name, *asked.tokens[: blocks * BLOCK]


added = Asked.added


def made() -> Steerer:
    steerer = Steerer(SHAPE, torch.device("cpu"))
    steerer.load(ERASERS, SETS, "ALL")
    return steerer


@pytest.mark.parametrize("seed", range(6))
def test_any_traffic_is_steered_as_each_request_alone(seed: int) -> None:
    draw, steerer = random.Random(seed), made()
    engine, waiting = Engine(steerer), list[Asked]()
    common = [draw.randrange(9) for _ in range(3)] + [IMAGE] * 5 + [IMAGE + 1] * 3 + [draw.randrange(9)] * 2
    for number in range(24):
        image = [IMAGE + 2] * draw.choice((0, 0, 2))
        prompt = common[: draw.choice((0, 3, 11, 13))] + image + [draw.randrange(9) for _ in range(draw.randint(1, 9))]
        answer = [draw.randrange(9) for _ in range(draw.randint(1, 5))]
        name = draw.choice([*SETS, NO_SET])
        waiting.append(Asked(f"r{number}", name, prompt + answer, len(prompt)))
    everyone = list(waiting)
    assert 0 < sum(bool(asked.added()) for asked in everyone) < len(everyone), "the draw must hold both"
    while waiting or engine.live:
        new = [waiting.pop(0) for _ in range(min(len(waiting), draw.randint(0, 3)))]
        going = [asked for asked in engine.live.values() if draw.random() < 0.8]
        plan = {}
        for asked in [*going, *new]:
            computed = asked.computed if asked in going else engine.found(asked) * BLOCK
            end = asked.prompt if computed < asked.prompt else len(asked.tokens)
            plan[asked.id] = draw.randint(1, end - computed)
        if plan:
            engine.step(plan, new)
    for asked in everyone:
        told = engine.reports[asked.id]
        assert told["steered"] == told["required"] == len(asked.added()), asked
        assert told["forced"] == told["due"] == engine.fixed[asked.id], asked
        first = asked.winner()
        assert told["reply"] == (None if first is None else first.reply.kind)
        margins = [asked.margin(name) for name in SETS.get(asked.set_name, [])]
        assert told["highest"] == (pytest.approx(max(margins), abs=1e-4) if margins else None)
        assert len(told["fired"]) == sum(margin >= 0 for margin in margins)
    assert engine.checked > 300 and sum(engine.fixed.values()) > 5


def test_a_set_has_the_thresholds_of_all_its_erasers_together() -> None:
    asked = Asked("r", "F", [1, 2, 3, 4], 3)
    draw = random.Random(0)
    while not 0 < asked.margin("f") < 1.5:
        asked.tokens = [draw.randrange(50) for _ in range(4)]
    both = Asked("s", "FG", asked.tokens, 3)
    assert both.margin("f") < 0 < asked.margin("f"), "alone it opens, with the other it does not"
    steerer = made()
    engine = Engine(steerer)
    engine.step({"r": 3, "s": 3}, [asked, both])
    found = [engine.reports[name]["fired"] for name in "rs"]
    assert "f" in found[0] and "f" not in found[1]


def test_a_prefix_that_is_computed_in_the_same_step_is_read() -> None:
    """The cache hands out blocks before they are filled: the second request has them read by the first."""
    engine = Engine(made())
    prompt = [1, 2, 3, 4, 5, 6, 7, 8, 9]
    first = Asked("first", "ALL", [*prompt, 1, 1], len(prompt))
    second = Asked("second", "ALL", [*prompt, 3, 2, 2], len(prompt) + 1)
    engine.step({"first": 9, "second": 2}, [first, second])
    assert second.blocks[:2] == first.blocks[:2]


def test_a_decision_survives_preemption() -> None:
    steerer = made()
    engine = Engine(steerer)
    asked = Asked("r", "S", [1, 2, 3, 4, 5, 6, 7, 8, 9, 1], 6)
    draw = random.Random(0)
    while not asked.added():
        asked.tokens = [draw.randrange(40) for _ in range(10)]
    engine.step({"r": 6}, [asked])
    engine.step({"r": 1}, [])
    engine.cached.clear()
    asked.blocks, asked.computed = [], 0
    engine.step({"r": 3}, [], resumed={"r"})
    engine.step({"r": 5}, [])
    engine.step({"r": 2}, [])
    told = engine.reports["r"]
    both = len(asked.added()) // 5
    assert told["steered"] == told["required"] == 7 * both > 0, "steps 0 and 1, and after the preemption 0 to 4"
    assert told["tokens"] == 5
    assert told["forced"] == told["due"] == 2, "those of the first two steps, chosen once"


def test_revoking_spares_running_answers_and_binds_new_ones() -> None:
    steerer = made()
    engine = Engine(steerer)
    engine.step({"old": 3}, [Asked("old", "A", [1, 2, 3, 4, 5], 3)])
    steerer.load({"b": ERASERS["b"]}, {"B": ["b"]}, NO_SET)
    engine.step({"old": 1, "new": 3}, [Asked("new", NO_SET, [1, 2, 3, 4], 3)])
    with pytest.raises(SteeringError, match="not loaded"):
        engine.step({"late": 3}, [Asked("late", "A", [1, 2, 3, 4], 3)])


def test_steps_go_on_while_a_change_is_prepared() -> None:
    """Also one that opens a gate of an eraser that the change takes away, whose answer still needs its way."""
    steerer, draw = made(), random.Random(0)
    engine, steered = Engine(steerer), Asked("steered", "ALL", [1, 2, 3, 4, 5], 3)
    while not steered.added():
        steered.tokens = [draw.randrange(40) for _ in range(5)]
    change = steerer.prepared({"b": ERASERS["b"]}, {"B": ["b"]})
    engine.step({"steered": 3, "other": 2}, [steered, Asked("other", "B", [1, 2, 3, 4, 5], 4)])
    steerer.swap(change, "B")
    assert set(steerer.resident.erasers) == {"b"}
    engine.step({"steered": 1, "other": 2}, [])
    engine.step({"steered": 1, "other": 1, "new": 4}, [Asked("new", "B", [5, 4, 3, 2, 1], 4)])
    assert engine.reports["steered"]["steered"] == engine.reports["steered"]["required"] == len(steered.added())


@pytest.mark.parametrize("gone", ["s", "su", "v"])
def test_what_was_read_of_a_prompt_stays_read_when_erasers_come_and_go(gone: str) -> None:
    steerer, draw = made(), random.Random(0)
    engine = Engine(steerer)
    prompts = [[draw.randrange(1, IMAGE + 3) for _ in range(7)] for _ in range(40)]
    asked = [Asked(f"r{i}", "T", [*prompt, 1], 7) for i, prompt in enumerate(prompts)]
    engine.step({one.id: 2 for one in asked}, asked)
    engine.step({one.id: 2 for one in asked}, [])
    kept = {i: one for i, one in ERASERS.items() if i not in gone}
    change = steerer.prepared(kept, {n: ids for n, ids in SETS.items() if kept.keys() >= set(ids)})
    engine.step({one.id: 2 for one in asked}, [])
    steerer.swap(change, NO_SET)
    engine.step({one.id: 1 for one in asked}, [])
    for one in asked:
        assert engine.reports[one.id]["highest"] == pytest.approx(one.margin("t"), abs=1e-4)
        assert not engine.reports[one.id]["unreadable"]


def test_what_was_cached_before_a_set_came_back_decides_nothing() -> None:
    """Its gates' columns are gone with it; a server gives it another name for the cache (`Admission`)."""
    steerer = made()
    engine = Engine(steerer)
    prompt = [1, 2, 3, 4, 5, 6, 7, 8, 9]
    engine.step({"first": 9}, [Asked("first", "S", [*prompt, 1], 9)])
    kept = {name: ids for name, ids in SETS.items() if "s" not in ids}
    steerer.load({i: e for i, e in ERASERS.items() if i != "s"}, kept, NO_SET)
    steerer.load(ERASERS, SETS, NO_SET)
    again, other = Asked("again", "S", [*prompt, 1], 9), Asked("other", "T", [*prompt, 1], 9)
    with pytest.MonkeyPatch.context() as quiet:
        quiet.setattr(torch.testing, "assert_close", lambda *_, **__: None)  # what it is steered by, nobody is told
        engine.step({"again": 1, "other": 9}, [again, other])
    assert again.blocks[:2] == engine.live["first"].blocks[:2], "the cache was asked under the old name"
    for name, unreadable in (("again", True), ("other", False)):
        assert engine.reports[name]["unreadable"] is unreadable


@pytest.mark.parametrize("freed", [False, True])
def test_revoking_gives_memory_back_also_where_a_row_was_used_before(freed: bool) -> None:
    """Rows that nothing fires on keep the number of an earlier answer, which must not point beyond a smaller table."""
    steerer, draw = made(), random.Random(0)
    engine = Engine(steerer)
    steered = Asked("steered", "ALL", [1, 2, 3, 4, 5], 3)
    while not steered.added():
        steered.tokens = [draw.randrange(40) for _ in range(5)]
    engine.step({"steered": 3}, [steered])
    if freed:
        engine.step({"steered": 2}, [])
        engine.step({"next": 3}, [Asked("next", NO_SET, [1, 2, 3, 4, 5], 3)])
        assert steerer.requests.live["next"].slot == 0, "a row that was used before"
    rows = sum(group.table.shape[0] * group.table.shape[1] for group in steerer.resident.groups)
    steerer.load({"b": ERASERS["b"]}, {"B": ["b"]}, NO_SET)
    left = sum(group.table.shape[0] * group.table.shape[1] for group in steerer.resident.groups)
    assert left == 2 if freed else 2 < left < rows, "one trajectory at two layers, and what a running answer needs"
    assert int(steerer.slots.way.max()) <= max(len(group) for group in steerer.resident.groups)
    engine.step({"next" if freed else "steered": 1, "new": 3}, [Asked("new", "B", [1, 2, 3, 4], 3)])
    assert engine.checked


def test_a_set_of_an_undecided_request_cannot_be_taken_away() -> None:
    steerer = made()
    Engine(steerer).step({"r": 2}, [Asked("r", "A", [1, 2, 3, 4], 3)])
    with pytest.raises(SteeringError, match="running requests"):
        steerer.load({}, {}, None)
    assert set(steerer.resident.erasers) == set(ERASERS), "nothing was changed"


def told(**extra: Any) -> Any:
    new = Told(
        req_id="r", prompt_token_ids=[1, 2, 3], mm_features=None, block_ids=([0],),
        num_computed_tokens=extra.pop("computed", 0), sampling_params=Told(extra_args=extra or None),
    )  # fmt: skip
    none = Told(req_ids=[], new_block_ids=[], num_computed_tokens=[], resumed_req_ids=set())
    return Told(
        scheduled_new_reqs=[new], scheduled_cached_reqs=none, num_scheduled_tokens={"r": 3}, finished_req_ids=set()
    )


def test_a_block_that_did_not_run_is_noticed() -> None:
    steerer = made()
    steerer.hear(told(unsee_set="A"))
    steerer.begin(["r"], {"r": 3})
    for layer in (0, 1, 3):
        steerer.visit(layer, torch.zeros(3, WIDTH), None)
    with pytest.raises(SteeringError, match="expected decoder blocks 0 to 3 to run once each"):
        steerer.end()


def test_states_that_came_from_elsewhere_are_noticed() -> None:
    steerer = made()
    steerer.hear(told(unsee_set="A", computed=2))
    with pytest.raises(SteeringError, match="read 1 tokens of a prompt that has 3"):
        steerer.begin(["r"], {"r": 1})


def test_a_request_without_a_set_falls_under_what_is_mandated() -> None:
    steerer = made()
    steerer.hear(told())
    assert steerer.requests.live["r"].set_name == "ALL"
    bare = Steerer(SHAPE, torch.device("cpu"))
    with pytest.raises(SteeringError, match="no set is mandated"):
        bare.hear(told())


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_prompt_that_gates_cannot_read_fails_alone(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    steerer = made()
    engine = Engine(steerer)
    state = Asked.state

    def broken(asked: Asked, layer: int, position: int) -> Tensor:
        return torch.full((WIDTH,), value) if asked.id == "broken" else state(asked, layer, position)

    monkeypatch.setattr(Asked, "state", broken)
    monkeypatch.setattr(Asked, "added", lambda asked: {} if asked.id == "broken" else added(asked))
    sound = Asked("sound", "ALL", [1, 2, 3, 4, 5], 3)
    draw = random.Random(0)
    while not sound.added():
        sound.tokens = [draw.randrange(50) for _ in range(5)]
    with monkeypatch.context() as quiet:
        quiet.setattr(torch.testing, "assert_close", lambda *_, **__: None)  # nothing equals NaN
        engine.step({"broken": 3, "sound": 3}, [Asked("broken", "A", [7, 8, 9, 1], 3), sound])
    told_broken = engine.reports["broken"]
    assert told_broken["unreadable"]
    with pytest.raises(SteeringError, match="read no number"):
        verdict_of([told_broken], Admitted("A", "A", "A", 1, "t-broken", Heard(), {}), 1)
    monkeypatch.setattr(Asked, "state", state)
    engine.live.pop("broken")
    engine.finished.add("broken")
    engine.step({"sound": 1, "late": 3}, [Asked("late", "B", [4, 5, 6, 7], 3)])
    for name, set_name in (("sound", "ALL"), ("late", "B")):
        admitted = Admitted(set_name, set_name, set_name, len(SETS[set_name]), name, Heard(), {})
        assert verdict_of([engine.reports[name]], admitted, 1).erasers == len(SETS[set_name])


def test_erasers_that_cannot_be_served_are_refused() -> None:
    steerer = made()
    published = Eraser(
        {"id": "m"}, "llava", (1, 2), NullSpaceGate(torch.ones(2, WIDTH)), torch.ones(2, 1, WIDTH), 1.0, "published"
    )
    words = replace(eraser(1, 0.0), reply=CannedReply("x", (VOCABULARY,)))
    with pytest.raises(EngineError, match="gate of kind 'null-space'"):
        steerer.load({"p": published}, {}, None)
    with pytest.raises(MismatchError, match="answers with token 50"):
        steerer.load({"w": words}, {}, None)


@pytest.mark.parametrize("count", [1, 300])
def test_a_decoded_token_costs_the_same_whatever_is_loaded(count: int) -> None:
    shut, steered = row(count, False, SteerReply()), row(count, True, SteerReply())
    begun = row(count, True, PrefixReply("x", (3, 4)))
    layers = DEPTH_COUNTED - READ_COUNTED[-1]
    assert [one["waits"] for one in (shut, steered, begun)] == [0, 0, 0]
    assert shut["token"] < DEPTH_COUNTED, "no operator a block"
    assert layers < steered["token"] <= layers + 16, "one a block that is steered, and some a step"
    assert (shut["bytes a place"], begun["token"] < 30) == (4 * (count + 4), True)
