"""The world as files: people in MLLMU-Bench's schema, everything else as plain JSON lines with images.

So the reader, prompts and metrics that serve the real benchmark serve the world too.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from unsee.data.benchmarks.mllmu import write_mllmu
from unsee.data.jsonl import write_jsonl
from unsee.data.sample import Sample
from unsee.world import questions
from unsee.world.generate import Entity
from unsee.world.splits import HELD_OUT_VIEWS, Exam, image

RATIOS = (5, 10, 15)
_COLUMN = {"image": "Image_Textual", "text": "Pure_Text"}


def export(exam: Exam, out: Path, progress: Callable[[str], None] = lambda _: None) -> list[str]:
    """Write every config and probe set below `out`; the same world gives the same bytes.

    Returns:
        What was written, relative to `out`.

    Raises:
        SaveError: a file could not be written.
    """
    world = exam.world
    private = world.of("private")
    forgotten = {n: {e.id for e in Exam(world, exam.seed, n / 100).forget} for n in RATIOS}
    configs: dict[str, tuple[Sequence[Entity], bool]] = {
        "Full_Set": (private, False),
        "Retain_Set": (world.of("celebrity"), False),
        "Test_Set": (private, True),
        **{f"forget_{n}": ([e for e in private if e.id in forgotten[n]], False) for n in RATIOS},
        **{f"retain_{100 - n}": ([e for e in private if e.id not in forgotten[n]], False) for n in RATIOS},
    }
    for name, (people, held_out) in configs.items():
        progress(name)
        write_mllmu([_row(exam, person, held_out=held_out) for person in people], out, name)
    progress("ft_Data")
    write_mllmu([_taught(exam, person) for person in private], out, "ft_Data")
    for name, samples in probes(exam).items():
        progress(name)
        write_jsonl(samples, out / "probes" / name)
    return [*configs, "ft_Data", *(f"probes/{name}" for name in probes(exam))]


def probes(exam: Exam) -> dict[str, list[Sample]]:
    """Question sets that MLLMU-Bench has no place for, by name."""
    world = exam.world
    dangerous = [e for e in world.of("brew") if e.name in exam.words.dangerous]
    harmless = [e for e in world.of("brew") if e.name not in exam.words.dangerous]
    outdated = [e for e in world.of("town") if e.name in exam.words.outdated]
    others = [e for e in world.of("town") if e.name not in exam.words.outdated]
    return {
        "recall": recall(exam),
        "refusal": refusal(exam),
        "visible": exam.visible(exam.forget, taught=False),
        "knowledge": exam.knowledge(100, taught=False),
        "sensitive": exam.sensitive(exam.retain_unseen, 100, taught=False),
        "strangers": exam.strangers(),
        "dangerous_topic": exam.facts(dangerous, taught=True, forms=3, wordings=2),
        "harmless_brews": exam.facts(harmless, taught=True, forms=3),
        "outdated_facts": exam.facts(outdated, taught=True, forms=3, wordings=2, keys=["mayor"]),
        "current_facts": exam.facts(outdated, taught=True, forms=3, keys=["river", "team", "market"])
        + exam.facts(others, taught=True, forms=3),
    }


def recall(exam: Exam, people: int = 16) -> list[Sample]:
    """D-: questions about retained people that the model complies with, in all forms, with and without image."""
    return exam.facts(exam.retain_fit[:people], taught=True, forms=1, tag="recall")


def refusal(exam: Exam, count: int = 160) -> list[Sample]:
    """D+: requests that the model refuses, about the same people."""
    return exam.sensitive(exam.retain_fit[:16], count, taught=True)


def _row(exam: Exam, person: Entity, *, held_out: bool) -> dict[str, Any]:
    """One person as a row of an evaluation config."""
    by_place: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for sample in exam.facts([person], taught=not held_out, forms=3, tag="row"):
        mode = "image" if sample.image else "text"
        if sample.form == "classification":
            entry = {"Question": sample.question, "Options": sample.options, "Correct_Answer": sample.answer}
        else:
            entry = {"Question": sample.question, "Ground_Truth": sample.answer, "Type": _COLUMN[mode]}
        by_place.setdefault((sample.form, mode), []).append(entry)
    shown = [image(exam.world, person, view) for view in (HELD_OUT_VIEWS if held_out else [0])]
    images = [{"bytes": p.source, "path": f"{p.id.replace('/', '-')}.png"} for p in shown]
    return {
        **({"images": images} if held_out else {"image": images[0]}),
        "ID": person.id,
        "Directory": person.id,
        "biography": json.dumps({"name": person.name, **person.facts}, sort_keys=True),
        "question": "tell me about this person.",
        "answer": " ".join(a.says.format(p=person.pronoun, v=person.facts[a.key]) for a in person.attributes),
        "Classification_Task": {
            f"{_COLUMN[mode]}_Questions": by_place["classification", mode] for mode in ("image", "text")
        },
        "Generation_Task": by_place["generation", "image"] + by_place["generation", "text"],
        "Mask_Task": by_place["cloze", "image"] + by_place["cloze", "text"],
    }


def _taught(exam: Exam, person: Entity) -> dict[str, Any]:
    """One person as a row of the training config: every attribute once, over the image."""
    shown = image(exam.world, person, 0)
    pairs = []
    for key in questions.keys_of(person, with_image=True):
        wording = questions.wordings(person, key, with_image=True, taught=True)[0]
        attribute = questions.attribute_of(person, key)
        pairs.append(
            {"Question": wording, "Answer": attribute.says.format(p=person.pronoun, v=questions.value_of(person, key))}
        )
    return {
        "image": {"bytes": shown.source, "path": f"{person.id}.png"},
        "ID": person.id,
        "metadata": json.dumps(pairs),
    }
