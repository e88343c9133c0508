"""What steering adds to an engine's step, counted: operators, waits for the device, copies, and bytes beside the cache.

No engine runs: the steerer is told of a prompt and of the tokens that follow, and every operator that it calls is
counted. On an accelerator they are the same, but for `wait`, which is then a wait for the device. Then, on the clock,
one request more and one less: how long that is made ready beside the steps, and how long it keeps the engine from one::

    python -m benchmarks.serving_counts
"""

import itertools
import time
from collections import Counter
from collections.abc import Sequence
from statistics import median
from types import SimpleNamespace as Told
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from unsee.erase.eraser import Eraser
from unsee.erase.gates.scope import Scope
from unsee.erase.gates.subject import SubjectGate
from unsee.erase.replies.base import Reply
from unsee.erase.replies.prefix import PrefixReply
from unsee.erase.replies.steer import SteerReply
from unsee.models.turns import TurnTokens
from unsee.serve.engine.steerer import Shape, Steerer
from unsee.serve.engine.subject_bank import SubjectBank
from unsee.serve.engine.tracking import NO_SET, SET

DEPTH, WIDTH, READ, PROMPT, DECODED = 32, 64, (4, 8), 24, 8
WAITS, COPIES = ("_local_scalar_dense", "item"), ("_to_copy", "copy_")


class Counting(TorchDispatchMode):
    """Counts what is called inside."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = Counter[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        views = ("select", "slice", "view", "unsqueeze", "expand", "detach", "unbind", "alias", "t", "transpose")
        if name not in views:
            self.calls[name] += 1
        return func(*args, **(kwargs or {}))


def erasers(count: int, fires: bool, reply: Reply, width: int = WIDTH) -> dict[str, Eraser]:
    """Subject gates of one scope, all of which fire or none."""
    scope = Scope.everything(len(READ), width)
    bias, weight = torch.full((1, 2), 0.5 if fires else -9.0), torch.zeros(1, 2, len(READ), width)
    of, layers = torch.zeros(1, dtype=torch.int64), tuple(range(READ[-1], DEPTH))
    turn = TurnTokens(torch.tensor([1]), torch.tensor([0]), torch.tensor([2]))
    trajectory = torch.ones(len(layers), 4, width)
    gate = SubjectGate(READ, weight, bias, torch.zeros(1, 2), scope, of, turn)
    return {
        f"e{k:04d}": Eraser({"id": "x"}, "llava", layers, gate, trajectory * (1 + k), 1.0, "x", reply=reply)
        for k in range(count)
    }


def told(new: Sequence[Any], running: Sequence[str], computed: int, tokens: int) -> Any:
    """A scheduler's output."""
    ids = [one.req_id for one in new] or list(running)
    cached = Told(
        req_ids=list(running), new_block_ids=[None] * len(running), num_computed_tokens=[computed] * len(running),
        resumed_req_ids=set(),
    )  # fmt: skip
    return Told(
        scheduled_new_reqs=list(new), scheduled_cached_reqs=cached, num_scheduled_tokens=dict.fromkeys(ids, tokens),
        finished_req_ids=set(),
    )  # fmt: skip


def step(steerer: Steerer, scheduled: Any) -> Counter[str]:
    """One step of the engine; what it called, in all."""
    ids, tokens = list(scheduled.num_scheduled_tokens), sum(scheduled.num_scheduled_tokens.values())
    hidden, logits = torch.randn(tokens, WIDTH), torch.randn(len(ids), 100)
    with Counting() as counting:
        steerer.hear(scheduled)
        steerer.begin(ids, scheduled.num_scheduled_tokens)
        for layer in range(DEPTH):
            steerer.visit(layer, hidden, None)
        steerer.end()
        steerer.fix(logits)
        steerer.said(torch.zeros(len(ids), 1, dtype=torch.int64))
    return counting.calls


def row(count: int, fires: bool, reply: Reply) -> dict[str, Any]:
    """A prompt and the tokens behind it, under so many requests."""
    shape = Shape("llava", DEPTH, WIDTH, 100, 8, 16)
    steerer, held = Steerer(shape, torch.device("cpu")), erasers(count, fires, reply)
    steerer.load(held, {"all": list(held)}, NO_SET)
    new = Told(
        req_id="r", prompt_token_ids=list(range(2, PROMPT + 2)), mm_features=(), block_ids=([0, 1, 2],),
        num_computed_tokens=0, sampling_params=Told(extra_args={SET: "all"}),
    )  # fmt: skip
    prompt = step(steerer, told([new], [], 0, PROMPT))
    decoded = [step(steerer, told([], ["r"], PROMPT + n, 1)) for n in range(DECODED)][-1]
    table = next(iter(steerer.resident.held.values())).bank
    assert isinstance(table, SubjectBank)
    return {
        "requests": count,
        "gate": f"{'open' if fires else 'shut'}, {reply.kind}",
        "prompt": prompt.total(),
        "token": decoded.total(),
        "a block": decoded.total() / DEPTH,
        "waits": sum(decoded[name] for name in WAITS),
        "copies": sum(decoded[name] for name in COPIES),
        "bytes a place": table.table.shape[1] * 4,
    }


def rows() -> list[dict[str, Any]]:
    """Every case."""
    replies: tuple[Reply, ...] = (SteerReply(), PrefixReply("x", (3, 4)))
    return [row(count, fires, reply) for count in (1, 100, 1000) for fires in (False, True) for reply in replies]


def change(count: int, width: int, places: int) -> dict[str, Any]:
    """One request more and one less, each with a trajectory of its own; the median of three times both."""
    steerer = Steerer(Shape("llava", DEPTH, width, 100, places // 16, 16), torch.device("cpu"))
    more = erasers(count + 1, False, SteerReply(), width)
    less, times = dict(list(more.items())[:count]), list[tuple[float, ...]]()
    steerer.load(less, {"all": list(less)}, NO_SET)
    for held in (more, less) * 3:
        before, at = steerer.loaded, [time.perf_counter()]
        ready = steerer.prepared(held, {"all": list(held)})
        at.append(time.perf_counter())
        steerer.swap(ready, NO_SET)
        at.append(time.perf_counter())
        del before
        at.append(time.perf_counter())
        times.append(tuple(b - a for a, b in itertools.pairwise(at)))
    beside, stopped, freed = (round(1000 * median(own), 1) for own in zip(*times, strict=True))
    about = {"requests": count, "width": width, "places": places}
    return about | {"beside, ms": beside, "stopped, ms": stopped, "to free what was, ms": freed}


if __name__ == "__main__":
    for found in (rows(), [change(count, 1024, places) for count in (100, 400) for places in (16384, 131072)]):
        print("  ".join(found[0]))
        for one in found:
            print("  ".join(str(value) for value in one.values()))
