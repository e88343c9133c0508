"""Does a request hold in every form of asking? Fired rates and leaks by form, on the built-in world.

Run: `python -m benchmarks.forms --model world:llava --out DIR` (options: `--help`). People of four roles are disjoint:
forgotten, retained for the fit, retained for calibration, unseen. The subject gate is fitted on names and images, with
no question, as `unsee forget` does, on the starter kit's profile unless told otherwise; scopes are fitted in the kit's
words, so that no wording of any row is in a fit. Rows marked `held` are of families that no fit met. Greedy decoding.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, final

import torch
from benchmarks.forms_prompts import FORGET_ROWS, OUTSIDE_ROWS, Asked, Forms

from unsee.erase.config import Settings
from unsee.erase.eraser import Eraser
from unsee.erase.eraser_set import together
from unsee.erase.fit_scope import with_scope
from unsee.erase.fit_subject import Subject, fit_subject
from unsee.erase.profile import Profile
from unsee.erase.request.augment import augmented
from unsee.erase.request.presence import Present, scope_prompts
from unsee.erase.request.request import Request
from unsee.erase.steer.hooks import erased
from unsee.forgetting.fitting import VIEWS, fit_request, request_profile
from unsee.metrics.detectors import is_refusal, leaks
from unsee.models.generate import Conversation, encode_conversations
from unsee.models.load import LoadedModel, load
from unsee.world.generate import Entity, World
from unsee.world.splits import FIT_VIEWS, Exam, image

Erasers = Sequence[Eraser]


@final
@dataclass(frozen=True)
class Row:
    """One form.

    Attributes:
        form: its name.
        held: whether its family is in no fit.
        n: prompts.
        fired: share on which the gate fires.
        wrong: the same form asked about unseen people.
        leaked: share of answers that hold the fact, or None where not asked.
    """

    form: str
    held: bool
    n: int
    fired: float
    wrong: float | None
    leaked: float | None = None
    base: float | None = None


def fired(loaded: LoadedModel, erasers: Erasers, prompts: Sequence[Conversation], size: int = 64) -> list[bool]:
    """Whether a gate fires on each prompt."""
    found = [False] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i].images), len(str(prompts[i].messages))))
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        inputs = encode_conversations(loaded, [prompts[i] for i in rows])
        with torch.no_grad(), erased(loaded.model, *erasers, adapter=loaded.adapter) as steering:
            loaded.model(**inputs, use_cache=False, logits_to_keep=1)
        fires = torch.stack([one.fired for one in steering.readings if one is not None]).any(0)
        for i, open_ in zip(rows, fires.tolist(), strict=True):
            found[i] = open_
    return found


def answers(loaded: LoadedModel, erasers: Erasers, prompts: Sequence[Conversation], size: int = 64) -> list[str]:
    """Greedy answers; the base model's where there are no erasers."""
    found = [""] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i].images), len(str(prompts[i].messages))))
    tokenizer, model = loaded.processor.tokenizer, cast("Any", loaded.model)
    options: Any = {"do_sample": False, "max_new_tokens": 16, "pad_token_id": tokenizer.pad_token_id}
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        inputs = encode_conversations(loaded, [prompts[i] for i in rows])
        with torch.no_grad(), ExitStack() as block:
            if erasers:
                block.enter_context(erased(model, *erasers, adapter=loaded.adapter))
            tokens = model.generate(**inputs, **options)
        said = tokenizer.batch_decode(tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        for i, text in zip(rows, said, strict=True):
            found[i] = text.strip()
    return found


def scoped(loaded: LoadedModel, profile: Profile, exam: Exam, people: int) -> Profile:
    """The profile with a scope from retained people, in the starter kit's words; the rows ask in the world's."""
    there = [
        Present(one.id, (one.name,), tuple(image(exam.world, one, view) for view in list(FIT_VIEWS)[:4]))
        for one in exam.retain_fit[:people]
    ]
    return with_scope(loaded, profile, scope_prompts(there, "person"))


def measured(
    loaded: LoadedModel, erasers: Erasers, exam: Exam, forms: Forms, each: int, ask: Callable[[str], bool]
) -> list[Row]:
    """All rows; `ask` says of which forms answers are taken too."""
    rows = []
    unseen = exam.retain_unseen[:20]
    for form, held in FORGET_ROWS.items():
        asked = forms.ask(form, exam.forget, each, held=True, seed=9, others=exam.retain_unseen[20:])
        wrong = forms.ask(form, unseen, each, held=True, seed=10, others=exam.retain_unseen[20:])
        fires, wrongly = (fired(loaded, erasers, [a.prompt for a in some]) for some in (asked, wrong))
        row = Row(form, held, len(asked), _share(fires), _share(wrongly))
        rows.append(_answered(loaded, erasers, row, asked) if ask(form) else row)
        print(json.dumps(vars(rows[-1])), flush=True)
    for form in OUTSIDE_ROWS:
        asked = forms.ask(form, exam.forget, each, held=True, seed=9, others=exam.retain_unseen)
        row = Row(
            form + " (must be answered)",
            True,
            len(asked),
            _share(fired(loaded, erasers, [a.prompt for a in asked])),
            None,
        )
        rows.append(row)
        print(json.dumps(vars(row)), flush=True)
    return rows


def _answered(loaded: LoadedModel, erasers: Erasers, row: Row, asked: Sequence[Asked]) -> Row:
    prompts = [a.prompt for a in asked]
    before, after = answers(loaded, (), prompts), answers(loaded, erasers, prompts)

    def leaked(said: Sequence[str]) -> float:
        return _share([leaks(text, a.gold) and not is_refusal(text) for text, a in zip(said, asked, strict=True)])

    return replace(row, base=leaked(before), leaked=leaked(after))


def _share(found: Sequence[bool]) -> float:
    return round(100 * sum(found) / max(1, len(found)), 1)


def subject_of(exam: Exam, entity: Entity, views: Sequence[int]) -> Subject:
    """A forgotten person as a request brings it: a name, and images, which are changed as `unsee forget` does."""
    each = max(2, VIEWS // len(views))
    shown = [one for view in views for one in augmented(image(exam.world, entity, view), each, 0)]
    return Subject((entity.name,), tuple(shown))


def main() -> None:
    """Parse, fit, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="world:llava")
    parser.add_argument("--profile", type=Path, help="made by 'unsee profile' or the demo; default: the starter kit's")
    parser.add_argument("--seed", type=int, default=0, help="split")
    parser.add_argument("--each", type=int, default=8, help="prompts a person and form; 20 people")
    parser.add_argument("--images", type=int, default=1, help="views of each forgotten person")
    parser.add_argument("--one-each", action="store_true", help="a request for each person, as 'unsee forget' fits it")
    parser.add_argument("--scope-people", type=int, default=0, help="fit a scope on so many retained people")
    parser.add_argument("--no-scope", action="store_true", help="the subject gate alone")
    parser.add_argument("--answers", default="", help="forms to ask as well, comma-separated, or 'all'")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    start, loaded, exam = time.time(), load(options.model), Exam(World(), options.seed)
    forms = Forms(exam)
    profile = Profile.from_pretrained(options.profile) if options.profile else request_profile(loaded)
    settings = Settings.from_json(profile.settings)
    if options.no_scope:
        profile = replace(profile, scope=None)
    elif options.scope_people:
        profile = scoped(loaded, profile, exam, options.scope_people)
    print(json.dumps({"scope_s": round(time.time() - start)}), flush=True)
    views = list(FIT_VIEWS)[: options.images]
    if options.one_each:
        asked = [Request(e.name, images=tuple(image(exam.world, e, view) for view in views)) for e in exam.forget]
        erasers = together([fit_request(loaded, profile, r, f"r{n}", seed=0) for n, r in enumerate(asked)])
    else:
        people = {e.id: subject_of(exam, e, views) for e in exam.forget}
        erasers = [fit_subject(loaded, profile, people, settings=settings)]
        erasers[0].save_pretrained(options.out / "eraser")
    print(json.dumps({"fitted_s": round(time.time() - start)}), flush=True)
    chosen = set(options.answers.split(","))
    rows = measured(loaded, erasers, exam, forms, options.each, lambda form: "all" in chosen or form in chosen)
    options.out.mkdir(parents=True, exist_ok=True)
    about = {name: str(value) for name, value in vars(options).items()}
    result = {"options": about, "rows": [vars(row) for row in rows], "seconds": round(time.time() - start)}
    (options.out / "forms.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
