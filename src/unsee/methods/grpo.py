"""ASRU, stage 2: the refusal boundary is refined by GRPO, through trl's own trainer, images included.

Groups of answers are sampled for forget and boundary questions; `two_sided` says what each is worth, relative to its
group; a KL term holds the model near where stage 1 left it.

Half of the questions are forgotten ones, as in the release: the smaller side comes as often as that takes. Every
sampled answer is in `answers.jsonl` with what it is, its reward and its advantage, and `curves.png` shows them.

Source: ASRU (arXiv 2605.15687), `qwen_mllmu_grpo.sh` and `config.yaml` of its code: groups of 8, temperature 1.5, top-p
0.95, rate 1e-6, KL 0.1 (low variance), clip 0.2 and 0.3, gradient norm 1, weight decay 0.01. Ours: answers of 64 tokens
in place of 2048, low-rank adapters where asked for.
"""

import copy
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, final

import torch
from pydantic import Field
from transformers import PrinterCallback, ProcessorMixin

from unsee.data.prompts import chat
from unsee.data.sample import Sample, require_no_videos, require_some
from unsee.errors import SaveError
from unsee.methods.curves import draw_curves
from unsee.methods.errors import extra
from unsee.methods.guard import Guard, Restore, checkpoints
from unsee.methods.job import Job, save
from unsee.methods.rewards import Favours, Kind, advantages, consistency, favoured, kind_of, two_sided
from unsee.methods.settings import Count, TrainSettings
from unsee.methods.weights import adapter_config, shard_by_block
from unsee.models.digest import weights_digest
from unsee.models.load import LoadedModel
from unsee.schema import Schema

ANSWERS, CURVES = "answers.jsonl", "curves.png"


@final
class GrpoSettings(Schema):
    """Every number of stage 2.

    Attributes:
        group: answers per question, which are compared with each other.
        temperature: of sampling.
        top_p: of sampling, in (0, 1].
        rate: step size of AdamW.
        kl: beta, weight of the KL term.
        clip: lower and upper clip of the probability ratio.
        steps: optimiser steps.
        questions: per step, in each process.
        longest: tokens of an answer.
        agreement: weight of `consistency` beside the two-sided reward; 0 leaves it out, as published.
        favours: which refusals are worth most; all alike, as published.
        released: ASRU's own refusal pattern.
        lora: train low-rank adapters; else every weight, for which the model must come from a folder.
    """

    group: Annotated[int, Field(ge=2)] = 8
    temperature: float = 1.5
    top_p: float = 0.95
    rate: float = 1e-6
    kl: float = 0.1
    clip: tuple[float, float] = (0.2, 0.3)
    steps: Count = 100
    questions: Count = 2
    longest: Count = 64
    agreement: float = 0.0
    favours: Favours = "any"
    released: bool = False
    lora: bool = True


def refine(
    job: Job, boundary: Sequence[Sample], settings: GrpoSettings | None = None, trainer: Mapping[str, Any] | None = None
) -> LoadedModel:
    """Train the model in place and save it, with `rewards.jsonl` (curves) and `answers.jsonl` (samples).

    Args:
        job: the model after stage 1, or any other, and the questions to be refused, with their true answers.
        boundary: retained questions near them, with their answers.
        settings: every number.
        trainer: further arguments of `trl.GRPOConfig`.

    Raises:
        MissingExtraError: trl, peft or datasets is not installed.
        RewardError: an answer's reward is not known; it never counts as 0.
        DivergenceError: a gradient is not finite.
        SaveError: the folder cannot be written.
    """
    settings, loaded, out = settings or GrpoSettings(), job.loaded, job.out
    require_some(job.forget, "forget")
    require_some(boundary, "boundary")
    if job.report_to == "trackio":
        extra("trackio")
    trl = extra("trl")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SaveError(f"cannot write to {str(out)!r}: {error}. Choose another folder with --out.") from error
    folder = out / "checkpoints"
    kept, log = checkpoints(folder), out / ANSWERS
    if int(os.environ.get("RANK", "0")) == 0:
        begin_log(log, int(kept[-1].name.rpartition("-")[2]) if kept else 0)
    run = trl.GRPOTrainer(
        model=loaded.model,
        processing_class=for_mixed_batches(loaded.processor),
        reward_funcs=reward_function(job.forget, boundary, settings, log),
        args=trl.GRPOConfig(**{**_arguments(job, settings, folder), **(trainer or {})}),
        train_dataset=questions(job.forget, boundary, job.seed),
        # Without dropout: what is sampled is then what is trained.
        peft_config=adapter_config(loaded, TrainSettings(dropout=0.0)) if settings.lora else None,
    )
    if run.is_fsdp_enabled:
        shard_by_block(run.accelerator.state.fsdp_plugin, loaded)
    run.remove_callback(PrinterCallback)  # the curves are in the folder, and standard output is the caller's
    tell = job.stages("reinforcing", settings.steps)
    run.add_callback(Guard(folder, tell, lambda sound: sound, lambda: None))
    if kept and not settings.lora and not run.is_fsdp_enabled:
        run.add_callback(Restore(kept[-1]))
    run.train(resume_from_checkpoint=str(kept[-1]) if kept else None)
    return _finish(run, loaded, settings, out)


def _arguments(job: Job, settings: GrpoSettings, folder: Path) -> dict[str, Any]:
    """Of trl's trainer."""
    return {
        "output_dir": str(folder),
        "num_generations": settings.group,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "learning_rate": settings.rate,
        "beta": settings.kl,
        "epsilon": settings.clip[0],
        "epsilon_high": settings.clip[1],
        "loss_type": "grpo",
        "weight_decay": 0.01,
        "max_grad_norm": 1.0,
        "max_steps": settings.steps,
        "per_device_train_batch_size": settings.group * settings.questions,
        "max_completion_length": settings.longest,
        "lr_scheduler_type": "constant",
        "shuffle_dataset": settings.agreement == 0,  # twins must meet in a step to be compared
        "logging_steps": 1,
        "save_steps": job.save_every,
        "save_total_limit": 2,
        "seed": job.seed,
        "report_to": job.report_to,
        "disable_tqdm": True,
        "bf16": False,
        "activation_checkpointing": False,
        "dataloader_pin_memory": False,
    }


def for_mixed_batches(processor: ProcessorMixin) -> ProcessorMixin:
    """A copy that takes trl's batches, in which a question without an image has None in the place of its images."""
    parent: Any = type(processor)

    def call(self: Any, images: Any = None, **kwargs: Any) -> Any:
        return parent.__call__(self, images=[row for row in images or () if row] or None, **kwargs)

    # Of the same name, which checkpoints record.
    mixed: Any = copy.copy(processor)
    mixed.__class__ = type(parent.__name__, (parent,), {"__call__": call})
    return mixed


def questions(forget: Sequence[Sample], boundary: Sequence[Sample], seed: int) -> Any:
    """Rows for trl: `prompt`, `images`, and `place`, which of `[*forget, *boundary]` it is.

    As many of either side: the smaller comes again and again. Questions about the same fact stand together, in an order
    drawn from the seed; fact: same subject, same gold.

    Raises:
        DataError: a sample has a video, which trl does not carry.
    """
    require_no_videos([*forget, *boundary], "reinforcement")
    most = max(len(forget), len(boundary))
    rows, units = [], []
    for first, side in ((0, forget), (len(forget), boundary)):
        for number in range(most):
            sample = side[number % len(side)]
            shown = [image.load() for image in sample.shown]
            rows.append({"prompt": _turns(sample), "images": shown, "place": first + number % len(side)})
            units.append((fact_of(sample), number // len(side)))
    every = sorted(set(units))
    order = torch.randperm(len(every), generator=torch.Generator().manual_seed(seed)).tolist()
    place = {unit: order[i] for i, unit in enumerate(every)}
    datasets = extra("datasets")
    datasets.disable_progress_bars()  # a few rows are made in a blink, and its bar would break ours
    ordered = [rows[i] for i in sorted(range(len(rows)), key=lambda i: place[units[i]])]
    made = datasets.Dataset.from_list(ordered)
    return made.cast_column("images", datasets.Sequence(datasets.Image()))


def _turns(sample: Sample) -> list[dict[str, Any]]:
    """Every turn, with all its parts of one shape, as a column of rows has to have them."""
    turns: Any = chat(sample, "plain")
    parts = [[{"type": part["type"], "text": part.get("text")} for part in turn["content"]] for turn in turns]
    return [{"role": turn["role"], "content": mine} for turn, mine in zip(turns, parts, strict=True)]


def fact_of(sample: Sample) -> str:
    """Subject and gold: what questions by image and by name have in common."""
    return f"{sample.subject}/{sample.gold}"


def begin_log(log: Path, done: int) -> None:
    """Keep what was said in the first `done` steps; what an interrupted run said after its checkpoint is said again."""
    kept = [line for line in log.read_text("utf-8").splitlines() if json.loads(line)["step"] < done] if done else []
    log.write_text("".join(f"{line}\n" for line in kept), "utf-8")


def reward_function(
    forget: Sequence[Sample], boundary: Sequence[Sample], settings: GrpoSettings, log: Path
) -> Callable[..., list[float]]:
    """What trl calls after each step's answers; it also writes each answer, what it is, its reward and advantage."""
    every = [*forget, *boundary]

    def reward(completions: list[Any], place: list[int], **kwargs: Any) -> list[float]:
        said, asked = [_text(completion) for completion in completions], [every[number] for number in place]
        aside = [number < len(forget) for number in place]
        kinds: list[Kind] = [kind_of(sample, answer) for sample, answer in zip(asked, said, strict=True)]
        worth = favoured(two_sided(asked, said, aside, settings.released), kinds, settings.favours)
        if settings.agreement:
            alike = consistency(said, list(map(fact_of, asked)), [sample.image is not None for sample in asked])
            worth = [value + settings.agreement * share for value, share in zip(worth, alike, strict=True)]
        gains, step = advantages(worth, settings.group), kwargs["trainer_state"].global_step
        texts = [sample.question for sample in asked]
        columns = {"forget": aside, "asked": texts, "answer": said, "kind": kinds, "reward": worth, "advantage": gains}
        with log.open("a", encoding="utf-8") as stream:
            for values in zip(*columns.values(), strict=True):
                line = {"step": step} | dict(zip(columns, values, strict=True))
                stream.write(json.dumps(line, ensure_ascii=False) + "\n")
        return worth

    return reward


def _text(completion: Any) -> str:
    content = completion if isinstance(completion, str) else completion[0]["content"]
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")


def _finish(run: Any, loaded: LoadedModel, settings: GrpoSettings, out: Path) -> LoadedModel:
    model = run.accelerator.unwrap_model(run.model)
    try:
        if run.is_world_process_zero():
            if settings.lora:
                model.save_pretrained(out / "adapter")
            curves = [entry for entry in run.state.log_history if "reward" in entry]
            draw_curves([json.loads(line) for line in (out / ANSWERS).read_text("utf-8").splitlines()], out / CURVES)
            (out / "rewards.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in curves))
            (out / "run.json").write_text(json.dumps({"settings": settings.as_json()}, indent=1) + "\n")
        if settings.lora:
            if "ref" in model.peft_config:
                model.delete_adapter("ref")
            model = model.merge_and_unload()
        result = replace(loaded, model=model.eval().requires_grad_(True), digest=weights_digest(model))
        if run.is_world_process_zero():
            save(result, out)
    except OSError as error:
        raise SaveError(f"cannot write to {str(out)!r}: {error}. Free some space and run it again.") from error
    run.accelerator.wait_for_everyone()
    loaded.processor.tokenizer.padding_side = "left"
    return result
