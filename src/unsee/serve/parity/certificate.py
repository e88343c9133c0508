"""The parity certificate: the same erasers and prompts, in the library and in the engine, with all versions."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

from unsee.data.sample import Sample
from unsee.erase.eraser import Eraser
from unsee.erase.eraser_set import together
from unsee.errors import SaveError
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent
from unsee.serve.engine.compat import installed
from unsee.serve.engine.tracking import NO_SET
from unsee.serve.parity.comparison import TOLERANCE, Answer, Difference, Prompt, difference, library_answers, prompts_of


@final
@dataclass(frozen=True)
class Expected:
    """What the library says.

    Attributes:
        prompts: asked.
        sets: content ids by name; the first holds nothing.
        answers: by set, in the order of the prompts.
        about: model, precision and versions.
    """

    prompts: list[Prompt]
    sets: Mapping[str, Sequence[str]]
    answers: Mapping[str, list[Answer]]
    about: Mapping[str, Any]


def sets_of(content_ids: Sequence[str]) -> dict[str, list[str]]:
    """Nothing, each of the first three alone, and all together."""
    alone = {f"only {i[7:19]}": [i] for i in content_ids[:3]}
    return {NO_SET: [], **alone, **({"all": list(content_ids)} if len(content_ids) > 1 else {})}


def expected(
    loaded: LoadedModel, samples: Sequence[Sample], erasers: Mapping[str, Eraser], stages: Stages = silent
) -> Expected:
    """Ask the library.

    Args:
        loaded: the model, in the precision that is served.
        samples: prompts, some about what is erased.
        erasers: in force, by content id, each as it was fitted; a set has the thresholds of all that it holds.
        stages: progress display.
    """
    sets = sets_of(list(erasers))
    tell = stages("asking the library", len(sets) * len(samples))
    answers: dict[str, list[Answer]] = {}
    for name, ids in sets.items():
        answers[name] = library_answers(loaded, samples, together([erasers[i] for i in ids]))
        tell(len(samples))
    about = {
        "model": {"id": loaded.name, "revision": loaded.revision, "digest": loaded.digest},
        "dtype": str(loaded.model.dtype).removeprefix("torch."),
        "versions": {"vllm": installed(), **{name: version(name) for name in ("unsee", "torch", "transformers")}},
    }
    return Expected(prompts_of(loaded, samples), sets, answers, about)


async def compare(
    reference: Expected, ask: Callable[[Prompt, str], Awaitable[Answer]], stages: Stages = silent
) -> list[Difference]:
    """Ask the engine the same."""
    tell = stages("asking the engine", len(reference.sets) * len(reference.prompts))
    found = []
    for name, ids in reference.sets.items():
        for prompt, answer in zip(reference.prompts, reference.answers[name], strict=True):
            found.append(difference(prompt.id, len(ids), answer, await ask(prompt, name)))
            tell(1)
    return found


def certificate(reference: Expected, found: Sequence[Difference]) -> dict[str, Any]:
    """The certificate as JSON; `passed` asks for exact answers in float32 and for equal verdicts otherwise."""
    exact = reference.about["dtype"] == "float32"
    failed = [one for one in found if not (one.exact if exact else one.same_prompt and one.same_verdict)]
    return {
        "schema": 1,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **reference.about,
        "tolerance": TOLERANCE if exact else None,
        "sets": {name: list(ids) for name, ids in reference.sets.items()},
        "prompts": len(reference.prompts),
        "compared": len(found),
        "fired": sum(one.fired for one in found),
        "same_tokens": sum(one.same_tokens for one in found),
        "same_verdicts": sum(one.same_verdict for one in found),
        "largest_logprob_difference": max(one.logprob for one in found),
        "largest_margin_difference": max((one.margin for one in found if one.margin is not None), default=None),
        "passed": not failed,
        "differences": [one.as_json() for one in failed],
    }


def write(made: Mapping[str, Any], out: Path) -> None:
    """Save a certificate.

    Raises:
        SaveError: the file cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise SaveError(f"cannot write {str(out)!r}: {error.strerror}. Choose another place with --certify.") from error
