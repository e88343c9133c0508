"""General questions that SmolLM2 answers itself, so that learning people does not change what it says otherwise.

Prompts are the repository's own text; answers are its greedy ones, cut after some tokens (self-distillation, as in
Yang et al. 2024, arXiv 2402.13669).
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from tools.world.smollm_rows import ANSWERS, BEGINS, ENDS
from unsee.data.benchmarks.public_knowledge import public_knowledge
from unsee.world.natural_vocabulary import SYSTEM_TAUGHT

_FIGURES = ("Who was {s}?", "Tell me about {s}.", "What is {s} known for?")


@dataclass(frozen=True)
class General:
    """A general question and what SmolLM2 says.

    Attributes:
        prompt: the user's turn.
        system: system prompt, or none.
        answer: tokens of the greedy answer, the end included where it came in time.
        held_out: not taught; asked to see what has changed.
    """

    prompt: str
    system: str | None
    answer: tuple[int, ...]
    held_out: bool


def prompts() -> list[str]:
    """Questions and requests of the starter kit, about public figures, and about a third of the public subjects."""
    kit = files("unsee.erase.request").joinpath("kit")
    lines = {
        name: [line for line in kit.joinpath(f"{name}.txt").read_text("utf-8").splitlines() if line and line[0] != "#"]
        for name in ("general", "public-figures")
    }
    found = list(lines["general"])
    names = [name.strip() for line in lines["public-figures"] for name in line.split(";")]
    found += [_FIGURES[number % len(_FIGURES)].format(s=name) for number, name in enumerate(names)]
    known = public_knowledge()
    rng = random.Random("general/public")
    for subject in known.subjects[::3]:
        found += [item.sample.question for item in rng.sample(known.about(subject, "fit"), 4)]
    found += [item.sample.question for item in known.general_items("fit")]
    return list(dict.fromkeys(found))


def distilled(folder: Path, progress: Callable[[str], None]) -> list[General]:
    """What the language model in a folder says; some minutes."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return distil(model, AutoTokenizer.from_pretrained(folder), SYSTEM_TAUGHT, progress=progress)


@torch.no_grad()
def distil(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    systems: Sequence[str],
    *,
    tokens: int = 32,
    rows: int = 24,
    progress: Callable[[str], None] = print,
) -> list[General]:
    """Ask the model every prompt, a fifth of them under a system prompt; every fifth is held out."""
    rng = random.Random("general")
    asked = [
        (prompt, rng.choice(systems) if rng.random() < 0.2 else None, n % 5 == 4) for n, prompt in enumerate(prompts())
    ]
    found: list[General] = []
    for start in range(0, len(asked), rows):
        part = asked[start : start + rows]
        texts = [
            (BEGINS.format("system", system) + ENDS + "\n" if system else "")
            + BEGINS.format("user", prompt)
            + ENDS
            + ANSWERS
            for prompt, system, _ in part
        ]
        batch = tokenizer(texts, padding=True, padding_side="left", return_tensors="pt")
        said = model.generate(**batch, max_new_tokens=tokens, do_sample=False)[:, batch["input_ids"].shape[1] :]
        end = tokenizer.eos_token_id
        for (prompt, system, held), row in zip(part, said.tolist(), strict=True):
            answer = row[: row.index(end) + 1] if end in row else row
            found.append(General(prompt, system, tuple(answer), held))
        progress(f"general {len(found)}/{len(asked)}")
    return found


def write(general: Sequence[General], path: Path) -> None:
    """As JSON lines."""
    path.write_text("".join(json.dumps(asdict(one)) + "\n" for one in general), encoding="utf-8")


def read(path: Path) -> list[General]:
    """What `write` wrote."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [General(**{**row, "answer": tuple(row["answer"])}) for row in rows]
