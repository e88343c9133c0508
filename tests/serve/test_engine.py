"""A real vLLM engine in this process: every answer is the library's, whatever is mixed, cached, cut or taken back."""

import os
import random
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

pytest.importorskip("vllm", reason="serving has an environment of its own: tests/serve/run.sh")
os.environ |= {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "HF_HUB_OFFLINE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}

from tests.serve.served import erasers_of, mixed_erasers, questions, rival_of

from unsee.data.sample import Sample
from unsee.erase.eraser import Eraser
from unsee.models.load import LoadedModel, load
from unsee.models.names import shipped
from unsee.serve.engine.carried import reports_of
from unsee.serve.engine.compat import part
from unsee.serve.engine.fired import as_required
from unsee.serve.engine.plugin import engine_options
from unsee.serve.engine.tracking import CACHE, NO_SET, SET, TICKET
from unsee.serve.parity.comparison import Answer, Prompt, difference, engine_answer, library_answers, prompts_of

BLOCK, CHUNK, TOKENS = 32, 64, 16
SETS = ("A", "B", "AB", "ABC", "Aa", "x", "Ax", "ABax", "S", "T", "ST", "AST")
"""Letters are erasers; small ones fire on the same prompts as A; S and T read their subjects, and have words."""
Asked = tuple[Prompt, str]


class Engine:
    """An engine with a small cache block and prompts cut in chunks, so that both happen all the time."""

    def __init__(self, folder: Path) -> None:
        self.library: LoadedModel = load(shipped("llava"), dtype="float32")
        self.asked = questions()
        self.erasers = dict(zip("ABC", erasers_of(self.library, self.asked, 3), strict=True))
        self.erasers |= dict(zip("ST", mixed_erasers(self.library, self.asked)[1:], strict=True))
        self.erasers |= {"a": rival_of(self.erasers["A"], 0.1), "x": rival_of(self.erasers["A"], 0.2, 9)}
        self.ids = {name: eraser.save_pretrained(folder / name) for name, eraser in self.erasers.items()}
        self.folders = {content_id: str(folder / name) for name, content_id in self.ids.items()}
        self.llm: Any = part("vllm:LLM")(
            str(shipped("llava")), dtype="float32", max_model_len=512, block_size=BLOCK, max_num_batched_tokens=CHUNK,
            max_num_seqs=16, enforce_eager=True, **engine_options(),
        )  # fmt: skip
        self.hold(*SETS)

    def hold(self, *sets: str) -> None:
        self.loads = getattr(self, "loads", 0) + 1
        named = {name: [self.ids[letter] for letter in name] for name in sets}
        folders = {i: self.folders[i] for ids in named.values() for i in ids}
        assert self.llm.collective_rpc("unsee_load", args=(folders, named, NO_SET)) == [sorted(folders)]

    def samples(self) -> list[Sample]:
        return [sample for samples in self.asked.values() for sample in samples]

    def erasers_in(self, name: str) -> list[Eraser]:
        return [] if name == NO_SET else [self.erasers[letter] for letter in name]

    def answers(self, asked: list[Asked], cached: bool = True) -> tuple[list[Answer], list[int]]:
        """Answers, and how many tokens of each prompt came from the cache."""
        tickets = [uuid4().hex for _ in asked]
        parameters = [
            part("vllm:SamplingParams")(
                temperature=0, max_tokens=TOKENS, logprobs=0, skip_reading_prefix_cache=not cached,
                extra_args={SET: name, TICKET: ticket, CACHE: f"{name}/{self.loads}"},
            )
            for (_, name), ticket in zip(asked, tickets, strict=True)
        ]  # fmt: skip
        prompts: list[dict[str, Any]] = [
            {"prompt_token_ids": p.tokens, **({} if p.image is None else {"multi_modal_data": {"image": p.image}})}
            for p, _ in asked
        ]
        with ExitStack() as stack:
            told = [stack.enter_context(reports_of(self.llm.llm_engine).opened(ticket)) for ticket in tickets]
            outputs = self.llm.generate(prompts, parameters, use_tqdm=False)
        found = []
        for output, asked_of in zip(outputs, told, strict=True):
            (report,) = asked_of.reports()
            assert as_required(report)
            assert output.kv_transfer_params is None, "what a gate read goes to nobody else"
            found.append(engine_answer(self.library.processor.tokenizer, output, report))
        return found, [output.num_cached_tokens or 0 for output in outputs]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(tmp_path_factory.mktemp("erasers"))


def require_equal(library: list[Answer], found: list[Answer], names: list[str]) -> int:
    """Every answer token by token; returns how many gates fired."""
    fired = 0
    for expected, answer, name in zip(library, found, names, strict=True):
        apart = difference(name, 1, expected, answer)
        assert apart.exact, (name, apart, expected, answer)
        assert apart.margin is None or apart.margin < 1e-3
        fired += apart.fired
    return fired


def test_sets_mixed_in_one_batch_are_the_library(engine: Engine) -> None:
    samples, names = engine.samples()[:12:2], (NO_SET, "A", "AB", "S", "AST")
    cases = [(i, name) for i in range(len(samples)) for name in names]
    random.Random(0).shuffle(cases)
    prompts = prompts_of(engine.library, samples)
    expected = {name: library_answers(engine.library, samples, engine.erasers_in(name), TOKENS) for name in names}
    for turn in ("empty", "warm"):
        found, cached = engine.answers([(prompts[i], name) for i, name in cases])
        fired = require_equal([expected[name][i] for i, name in cases], found, [f"{turn} {name}" for _, name in cases])
        assert 0 < fired < len(cases) / 2
    assert sum(map(bool, cached)) > len(cases) / 4, "the second round reads the cache"
    changed = sum(expected[NO_SET][i].tokens != expected[name][i].tokens for i, name in cases)
    assert changed > fired / 2, "most gates that fire change the answer"


def test_erasers_that_fire_on_one_prompt_steer_it_once(engine: Engine) -> None:
    """As the library does it, which an oracle checks (tests/contract/test_several.py)."""
    samples = engine.samples()[0:6:2]  # two of A's, with an image and without, and one of B's
    prompts, names = prompts_of(engine.library, samples), (NO_SET, "A", "Aa", "x", "Ax", "ABax")
    expected = {name: library_answers(engine.library, samples, engine.erasers_in(name), TOKENS) for name in names}
    cases = [(i, name) for i in range(len(samples)) for name in names]
    random.Random(5).shuffle(cases)
    found, _ = engine.answers([(prompts[i], name) for i, name in cases])
    require_equal([expected[name][i] for i, name in cases], found, [name for _, name in cases])
    said = {case: answer.tokens for case, answer in zip(cases, found, strict=True)}
    for i in range(len(samples)):
        assert said[i, "Aa"] == said[i, "A"], "one direction, once"
        assert said[i, "Ax"] == said[i, "x"], "of two directions the stronger gate's, and nothing beside it"
    assert any(said[i, "A"] != said[i, NO_SET] for i in (0, 1)), "steering must show"
    assert any(said[i, "x"] != said[i, "A"] for i in (0, 1)), "and so must the direction"


def shared_prefix(engine: Engine, tails: int) -> list[Prompt]:
    """Prompts that begin with the same 96 tokens and end as different questions do."""
    prompts = [p for p in prompts_of(engine.library, engine.samples()) if p.image is None]
    draw = random.Random(1)
    words = [draw.randrange(80, 400) for _ in range(96)]
    return [Prompt(p.id, [p.tokens[0], *words, *p.tokens[1:]], None) for p in prompts[:tails]]


def test_a_shared_prefix_serves_all_of_a_set(engine: Engine) -> None:
    """200 requests over one prefix, three blocks long, under five sets: the cache changes no answer."""
    prompts, names = shared_prefix(engine, 5), (NO_SET, "A", "B", "AB", "ST")
    alone = {
        (i, name): engine.answers([(p, name)], cached=False)[0][0] for i, p in enumerate(prompts) for name in names
    }
    draw = random.Random(2)
    cases = [(draw.randrange(len(prompts)), draw.choice(names)) for _ in range(200)]
    found, cached = engine.answers([(prompts[i], name) for i, name in cases])
    fired = require_equal([alone[case] for case in cases], found, [f"{case}" for case in cases])
    assert fired > 8
    assert sum(tokens >= 96 - BLOCK for tokens in cached) > 180


def test_a_conversation_goes_on_as_if_prefilled_anew(engine: Engine) -> None:
    """Activation and revocation between turns: what an earlier turn was steered by leaves no trace in the cache."""
    # The answer's first token fills the block that holds the last prompt token, so that it could be found by others.
    long = [_lengthened(p, (BLOCK - 1 - len(p.tokens)) % BLOCK) for p in shared_prefix(engine, 12)]
    found = zip(long, engine.answers([(p, "A") for p in long])[0], strict=True)
    first = next(prompt for prompt, answer in found if (answer.margin or 0) > 0 and len(answer.tokens) > 2)
    tail = prompts_of(engine.library, engine.samples()[4:5])[0].tokens[-24:]
    for before, after in (("A", NO_SET), (NO_SET, "A"), ("A", "B"), ("AB", "AB"), ("ST", "ST")):
        (said,), _ = engine.answers([(first, before)])
        turn = _lengthened(first, 0, [*said.tokens, *tail])
        (warm,), (cached,) = engine.answers([(turn, after)])
        (fresh,), (none,) = engine.answers([(turn, after)], cached=False)
        require_equal([fresh], [warm], [f"{before} then {after}"])
        assert none == 0
        whole = len(first.tokens) // BLOCK * BLOCK
        assert cached <= whole, "nothing from the last prompt token on"
        assert before != after or cached == whole, "all before it, where the set is the same"


def _lengthened(prompt: Prompt, words: int, more: Sequence[int] = ()) -> Prompt:
    draw = random.Random(4)
    filled = [*prompt.tokens[:1], *(draw.randrange(80, 400) for _ in range(words)), *prompt.tokens[1:], *more]
    return Prompt(prompt.id, filled, prompt.image)


def test_what_was_revoked_is_gone_and_its_answer_is_the_first_again(engine: Engine) -> None:
    prompt = prompts_of(engine.library, engine.samples())[0]
    (plain,), _ = engine.answers([(prompt, NO_SET)])
    (steered,), _ = engine.answers([(prompt, "A")])
    assert steered.tokens != plain.tokens
    engine.hold("B")
    (after,), _ = engine.answers([(prompt, "B")])
    engine.hold(*SETS)
    assert after.tokens == plain.tokens
    assert after.logprobs == pytest.approx(plain.logprobs, abs=1e-5)


def test_a_thousand_more_gates_change_nothing(engine: Engine, tmp_path: Path) -> None:
    prompts = prompts_of(engine.library, engine.samples()[:3])
    before, _ = engine.answers([(p, "AB") for p in prompts])
    (worker,) = [engine.llm.llm_engine.model_executor.driver_worker.worker]
    steerer = worker.model_runner.unsee_steerer
    held = dict(steerer.resident.erasers)
    sets = {name: list(own) for name, own in steerer.loaded.orders.items() if own}
    copies = {f"copy {i}": engine.erasers["C"].with_strength(1 + i / 1000) for i in range(1000)}
    steerer.load({**held, **copies}, {**sets, "more": list(copies)}, NO_SET)
    after, _ = engine.answers([(p, "AB") for p in prompts])
    steerer.load(held, sets, NO_SET)
    require_equal(before, after, ["AB"] * len(prompts))
