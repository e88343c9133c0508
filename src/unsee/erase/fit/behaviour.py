"""Which prompts behave as their set says, and in what words a model declines."""

from collections import Counter
from collections.abc import Sequence
from functools import partial

import torch

from unsee.data.sample import Sample
from unsee.erase.config import Settings
from unsee.erase.detectors import is_fluent, is_refusal
from unsee.erase.fit.findings import Finding, finding
from unsee.errors import DirectionError
from unsee.models.generate import batches_by_length, generate
from unsee.models.load import LoadedModel
from unsee.progress import Progress, Stages
from unsee.workers import Workers

LEAST_PROMPTS = 4
DECLINES = "refuses D+"


def behaving(
    loaded: LoadedModel,
    recall: Sequence[Sample],
    refusal: Sequence[Sample],
    unknown: Sequence[Sample],
    settings: Settings,
    stages: Stages,
    report: list[Finding],
    workers: Workers[LoadedModel],
) -> tuple[list[Sample], list[Sample], list[str]]:
    """Drop prompts that do not behave as their set says; the refusals that the model uses most.

    Where it declines too few, prompts about unknown entities stand in, whatever it says to them, and there is no word.
    """
    size, most = settings.batch_size, settings.answer_tokens
    told = _answers(loaded, recall, settings, stages("recall answers", len(recall)), workers)
    declined = _answers(loaded, refusal, settings, stages("refusal answers", len(refusal)), workers)
    complied = [s for s, answer in zip(recall, told, strict=True) if is_fluent(answer) and not is_refusal(answer)]
    refused = [(s, answer) for s, answer in zip(refusal, declined, strict=True) if is_refusal(answer)]
    dropped = [s.id for s in recall if s not in complied] + [s.id for s in refusal if s not in [r for r, _ in refused]]
    for kept, all_, check, note in (
        (len(complied), len(recall), "complies with D-", "add prompts that it answers"),
        (len(refused), len(refusal), DECLINES, "the method needs a model that already refuses something"),
    ):
        share = kept / all_
        if kept < LEAST_PROMPTS and check == DECLINES and unknown:
            result = f"{kept} of {all_} prompts; instead, known against {len(unknown)} unknown entities"
            report.append(finding(check, result, "warn", "give D+ that this model declines, if there is any"))
            return complied, list(unknown), []
        if kept < LEAST_PROMPTS:
            raise DirectionError(
                f"the model {check} in {kept} of {all_} prompts, expected at least {LEAST_PROMPTS}: the direction "
                f"would be noise. Next: {note}. First dropped: {dropped[:5]}."
            )
        report.append(
            finding(
                check,
                f"{kept} of {all_} prompts",
                "pass" if share >= 0.9 else "warn",
                "" if share == 1 else f"dropped: {', '.join(dropped[:5])}",
            )
        )
    # Greedy answers may all be one wording, and the steered model may begin another; sampled ones show them all.
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = generate(loaded, [sample for sample, _ in refused], size, most, do_sample=True)
    said = Counter(answer for answer in [*(a for _, a in refused), *drawn] if is_refusal(answer) and is_fluent(answer))
    if not said:
        shown = [answer for _, answer in refused[:3]]
        raise DirectionError(
            f"the model refuses D+ in {len(refused)} prompts, but never fluently: got {shown}. Expected at least one "
            "refusal that reads as text, for an erased answer to be led to. Next: other D+ prompts, or a model whose "
            "refusals are whole sentences."
        )
    return complied, [sample for sample, _ in refused], [words for words, _ in said.most_common(settings.wordings)]


def _answers(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    settings: Settings,
    told: Progress,
    workers: Workers[LoadedModel],
) -> list[str]:
    answers, batches = [""] * len(samples), batches_by_length(loaded, samples, settings.batch_size)
    work = partial(_batch_answers, tokens=settings.answer_tokens)
    for number, said in workers.map(work, ([samples[i] for i in batch] for batch in batches)):
        for i, answer in zip(batches[number], said, strict=True):
            answers[i] = answer
        told(len(said))
    return answers


def _batch_answers(loaded: LoadedModel, samples: Sequence[Sample], tokens: int) -> list[str]:
    return generate(loaded, samples, len(samples), tokens)
