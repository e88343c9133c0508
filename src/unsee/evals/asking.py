"""Ask one batch, or carry one attack out: questions in, rows out."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

from unsee.attacks.base import SMALL_TALK, AccessError, Asked, Turn, Victim, applies
from unsee.attacks.guessing import best_guess
from unsee.attacks.known import names_of
from unsee.data.prompts import chat
from unsee.data.sample import Sample
from unsee.data.task import Set
from unsee.errors import DataError
from unsee.evals.answerers.base import Answerer, Draw, Gated, How
from unsee.evals.chat import RefusedError
from unsee.evals.plan import Plan
from unsee.evals.rows import row_of, verdict
from unsee.evals.scoring import Judges, scored_rows
from unsee.evals.store import Record
from unsee.metrics.leakage import leak_at_k
from unsee.registry import ATTACKS


@final
@dataclass(frozen=True)
class Batch:
    """Questions of one set that are asked together, by their places in it."""

    split: str
    tokens: int
    places: tuple[int, ...]

    def keys(self, condition: str, plan: Plan) -> set[tuple[str, str, str]]:
        """What names its rows."""
        items = plan.task.sets[self.split].items
        return {(condition, self.split, items[place].sample.id) for place in self.places}


def batches(answerer: Answerer, plan: Plan) -> Iterator[Batch]:
    """All questions, by set and longest answer."""
    for split, of in plan.task.sets.items():
        samples = of.samples
        lengths = [plan.tokens(sample) for sample in samples]
        for tokens in sorted(set(lengths)):
            places = [place for place, length in enumerate(lengths) if length == tokens]
            order = answerer.order([samples[place] for place in places], plan.how(tokens))
            for start in range(0, len(order), plan.batch_size):
                yield Batch(split, tokens, tuple(places[n] for n in order[start : start + plan.batch_size]))


def ask(answerer: Answerer, plan: Plan, batch: Batch, condition: str, judges: Judges) -> list[Record]:
    """One row a question of the batch."""
    of = plan.task.sets[batch.split]
    items = [of.items[place] for place in batch.places]
    how = plan.how(batch.tokens)
    if plan.sampled:
        how = replace(how, draw=Draw(_seed(plan, batch.split, items[0].sample.id)))
    samples = [item.sample for item in items]
    said = _answers(answerer, samples, how)
    answers = [answer for answer, _ in said]
    scored = scored_rows(
        answerer, of, items, answers, plan.measures,
        how=how, judges=judges, tries=plan.tries, batch_size=plan.batch_size,
    )  # fmt: skip
    rows = []
    for sample, (answer, reason), one in zip(samples, said, scored, strict=True):
        row = row_of(condition, batch.split, of, sample, answer, reason=reason) | {"measures": one.measures}
        beside = {
            "log_truth_ratio": one.log_truth_ratio,
            "membership": one.membership,
            "judged": one.judged,
            "safety": one.safety,
        }
        rows.append(row | {name: value for name, value in beside.items() if value is not None})
    return rows


def asked(
    answerer: Answerer,
    plan: Plan,
    condition: str,
    *,
    judges: Judges | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Record]:
    """Every row of one condition, kept in memory: by set as the data has them, then by attack.

    Args:
        answerer: who is asked.
        plan: what, and how.
        condition: name of the rows.
        judges: of quality and safety; the offline rule by default.
        progress: called with the number of questions that each batch has answered.
    """
    found: dict[tuple[str, str], Record] = {}
    for batch in batches(answerer, plan):
        for row in ask(answerer, plan, batch, condition, judges or Judges()):
            found[row["split"], row["id"]] = row
        progress(len(batch.places))
    rows = [found[name, item.sample.id] for name, of in plan.task.sets.items() for item in of.items]
    for name, split in plan.attacked():
        rows += attack_rows(answerer, plan, name, split, condition)
    return rows


def attack_batches(plan: Plan, name: str, split: str) -> list[tuple[int, ...]]:
    """Places of the questions that an attack is given at a time; one empty batch where it applies to none."""
    facts, items = ATTACKS.named(name).facts, plan.task.sets[split].items
    places = [place for place, item in enumerate(items) if applies(facts, item.sample)]
    size = max(1, len(places)) if facts["whole"] else plan.batch_size
    return [tuple(places[start : start + size]) for start in range(0, max(1, len(places)), size)]


def attack_rows(
    answerer: Answerer, plan: Plan, name: str, split: str, condition: str, places: Sequence[int] | None = None
) -> list[Record]:
    """One row a question that the attacker asked: his best guess, and whether any answer that he got says the fact.

    Args:
        answerer: who is attacked.
        plan: what, and how.
        name: of the attack.
        split: name of the set.
        condition: name of the rows.
        places: of the questions in the set, one of `attack_batches`; all of these by default.
    """
    if places is None:
        every = attack_batches(plan, name, split)
        return [row for one in every for row in attack_rows(answerer, plan, name, split, condition, one)]
    of, entry = plan.task.sets[split], ATTACKS.named(name)
    victim = Victim(
        answerer,
        plan.how(plan.max_new_tokens or 48),
        talk_of(plan),
        min(plan.tries, entry.facts["queries"]),
        plan.batch_size,
        questions=(known := _questions(plan, of)),
        names=names_of(known),
        others=others_of(plan),
    )
    samples = [of.items[place].sample for place in places]
    try:
        got = entry.make(victim, samples, plan.seed)
    except (AccessError, RefusedError) as error:
        return unasked(plan, name, split, condition, f"{type(error).__name__}: {error}", places)
    if len(got) != len(samples):
        raise DataError(f"the attack {name!r} gave {len(got)} results for {len(samples)} questions, expected one each.")
    if all(tries is None for tries in got):
        return unasked(plan, name, split, condition, "the attack asks none of these questions", places)
    rows = []
    for sample, tries in zip(samples, got, strict=True):
        if tries is None:
            continue
        guess = best_guess(tries)
        leaks = [verdict(sample, said, of.role).leaked for said in tries]
        row = row_of(condition, f"{split}/{name}", of, sample, tries[guess])
        heard = victim.record.get(sample.id, [])
        kept = {"attack": name, "tries": list(tries), "leaks": leaks, "queries": len(heard), "measures": {}}
        if len(tries) > 1:
            kept["measures"] = {"leak-at-k": leak_at_k(leaks, len(tries))}
        rows.append(row | kept | _told(heard, tries[guess]))
    for row, margin in zip(rows, _margins(victim, rows), strict=True):
        row |= {"batch": [places[0], len(rows)], "margin": margin}
    return rows


def unasked(plan: Plan, name: str, split: str, condition: str, reason: str, places: Sequence[int] = ()) -> list[Record]:
    """A row without an answer for every question that an attack should have asked, or for those in these places."""
    of = plan.task.sets[split]
    samples = [of.items[place].sample for place in places] or of.samples
    beside = {"attack": name, "measures": {}, "batch": [min(places, default=0), len(samples)]}
    return [row_of(condition, f"{split}/{name}", of, sample, None, reason=reason) | beside for sample in samples]


def others_of(plan: Plan) -> list[Sample]:
    """Questions about others, with their answers: what attackers know besides."""
    kept = (plan.context or plan.task).of_role("retain", "neighbour")
    return [sample for of in kept.values() if of.use == "test" for sample in of.samples]


def _questions(plan: Plan, of: Set) -> list[Sample]:
    """The set's own questions, and all others about what is to be forgotten that no fit has seen."""
    context = plan.context.of_role("forget").values() if plan.context else ()
    more = [sample for one in context if one.use == "test" for sample in one.samples]
    return list({sample.id: sample for sample in (*of.samples, *more)}.values())


def _told(heard: Sequence[Asked], guess: str) -> Record:
    """The query that brought the guess, word for word; the last one where several were needed for it."""
    if not heard:
        return {}
    one = next((query for query in heard if query.said == guess), heard[-1])
    turns = [[message["role"], _text(message["content"])] for message in chat(one.sample, "plain")]
    return {"transcript": [*turns, ["assistant", f"{one.begun} {one.said}".strip()]]}


def _text(content: str | Sequence[Mapping[str, str]]) -> str:
    if isinstance(content, str):
        return content
    return " ".join(part["text"] if part["type"] == "text" else f"[{part['type']}]" for part in content)


def _margins(victim: Victim, rows: Sequence[Record]) -> list[float | None]:
    """How far the nearest gate was above its threshold on the query that brought each guess, where there is one."""
    if not isinstance(victim.answerer, Gated):
        return [None] * len(rows)
    asked: list[Sample] = []
    for row in rows:
        heard = victim.record.get(row["id"], [])
        asked += [next((one.sample for one in heard if one.said == row["answer"]), heard[-1].sample)] if heard else []
    return victim.answerer.margins(asked, victim.how) if len(asked) == len(rows) else [None] * len(rows)


def talk_of(plan: Plan) -> tuple[Turn, ...]:
    """Harmless turns for longer conversations: the task's own questions about nobody, where it has any."""
    told = [
        (item.sample.question, item.sample.answer)
        for of in (plan.context or plan.task).of_role("general").values()
        for item in of.items
        if not item.sample.shown and item.sample.form == "generation" and item.sample.answer
    ]
    return tuple(told[:: max(1, len(told) // 4)][:4]) if len(told) >= 3 else SMALL_TALK


def _answers(answerer: Answerer, samples: Sequence[Sample], how: How) -> list[tuple[str | None, str]]:
    """Answers, or None with the reason: one question that cannot be put costs no other its answer."""
    try:
        return [(answer, "") for answer in answerer.answers(samples, how)]
    except DataError as error:
        if len(samples) == 1:
            return [(None, f"{type(error).__name__}: {error}")]
        return [one for sample in samples for one in _answers(answerer, [sample], how)]


def _seed(plan: Plan, split: str, first: str) -> int:
    # Of the batch alone, so that a reply does not depend on what was asked before it, or by which process.
    mark = hashlib.sha256(f"reply/{plan.seed}/{split}/{first}".encode()).digest()
    return int.from_bytes(mark[:7], "little")
