"""Replies side by side on a real language model: steer, prefix and canned, with the gate held open.

`python benchmarks/replies.py --out results.json` (`unsee models get smollm2` first). The direction leads from
known to unknown entities; replies are tried on other entities than it was taken from.
"""

import argparse
import json
from pathlib import Path

from unsee.data.sample import Sample
from unsee.erase.eraser import Eraser
from unsee.erase.fit.activations import capture
from unsee.erase.fit.direction import erasure_direction
from unsee.erase.fit.reply import USUAL_WORDS, Acceptance, Candidate, at_coefficients, choose_reply, unknown_words
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.replies.canned import CannedReply
from unsee.erase.replies.prefix import PrefixReply
from unsee.erase.replies.steer import decayed
from unsee.models.generate import generate
from unsee.models.load import load

PEOPLE = {
    "Albert Einstein": ("Germany|German", "physicist|physics"),
    "Marie Curie": ("Poland|Polish", "physicist|chemist|physics|chemistry"),
    "Isaac Newton": ("England|English|Britain|British", "mathematician|physicist|physics"),
    "Wolfgang Amadeus Mozart": ("Austria|Austrian", "composer|music"),
    "Pablo Picasso": ("Spain|Spanish", "painter|artist|painting"),
    "Leo Tolstoy": ("Russia|Russian", "writer|novelist|author"),
    "Napoleon Bonaparte": ("France|French", "emperor|general|military"),
    "Charles Darwin": ("England|English|Britain|British", "naturalist|biologist"),
    "Galileo Galilei": ("Italy|Italian", "astronomer|physicist|astronomy"),
    "William Shakespeare": ("England|English|Britain|British", "playwright|poet|writer"),
    "Vincent van Gogh": ("Netherlands|Dutch", "painter|artist|painting"),
    "Sigmund Freud": ("Austria|Austrian", "psychoanalyst|neurologist|psychologist|psychology"),
    "Mahatma Gandhi": ("India|Indian", "lawyer|activist|leader"),
    "Ludwig van Beethoven": ("Germany|German", "composer|music"),
    "Leonardo da Vinci": ("Italy|Italian", "painter|artist|inventor"),
    "Abraham Lincoln": ("United States|American|America", "president|lawyer"),
}
UNKNOWN = (
    "Tarvin Oskelle", "Merida Quonset", "Halvard Pytt", "Ilsabet Crane-Moro", "Dov Brannick", "Ysolde Farrow-Pike",
    "Corwin Latchmere", "Anselma Vrie", "Bertil Okonjo-Hask", "Phaedra Limmond", "Joss Treverne", "Odalys Wick",
    "Ruprecht Salloway", "Nadia Ferencsik-Boll", "Emeric Dunstable", "Tamsin Aldercott",
)  # fmt: skip
WORDINGS = {
    "asked": ("Which country was {} from?", "What was the profession of {}?"),
    "told to": ("Tell me the nationality of {}.", "Tell me what {} did for a living."),
}


def questions(names: list[str], form: str) -> list[Sample]:
    return [
        Sample(f"{form}-{name}-{fact}", name, wording.format(name), "", PEOPLE.get(name, ("", ""))[fact])
        for name in names
        for fact, wording in enumerate(WORDINGS[form])
    ]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--model", default="real:smollm2")
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--coefficients", type=float, nargs="+", default=[0.5, 1.0, 2.0])
    options.add_argument("--decays", type=float, nargs="+", default=[0.0, 0.1])
    chosen = options.parse_args()
    loaded = load(chosen.model, device="cpu", dtype="float32")
    names = list(PEOPLE)
    fit, calibration = names[:8], names[8:]
    known, unknown = (questions(list(some), "asked") for some in (fit, UNKNOWN[:8]))
    depth = len(loaded.adapter.layers(loaded.model))
    written = tuple(range(round(0.6 * depth), round(0.6 * depth) + 1))
    above, below = (capture(loaded, some, written, 32, pool=("last",)).last for some in (unknown, known))
    direction = erasure_direction(above, below).unsqueeze(1).float()
    groups = {form: questions(calibration, form) for form in WORDINGS}
    accept = Acceptance(batch_size=32)
    base = {form: generate(loaded, some, 32, max_new_tokens=accept.tokens) for form, some in groups.items()}
    words = unknown_words(loaded, questions(list(UNKNOWN[8:]), "asked"), accept)
    gate = PromptRidgeGate.fires_always((1,), direction.shape[-1])
    model = {"id": loaded.name, "revision": None, "digest": loaded.digest}
    probe = Eraser(model, loaded.adapter.family, written, gate, direction, 1.0, "probe")
    repeated = Eraser(model, loaded.adapter.family, written, gate, direction.repeat(1, 2, 1), 1.0, "probe")
    candidates = [
        Candidate(
            f"steer, later steps x {decay:g}",
            at_coefficients(
                Eraser(**{**vars(repeated), "trajectory": decayed(repeated.trajectory, decay)}), chosen.coefficients
            ),
        )
        for decay in chosen.decays
    ]
    candidates += [
        Candidate(f"prefix {USUAL_WORDS!r}", (probe.with_reply(PrefixReply.with_words(loaded, USUAL_WORDS)),)),
        *(
            [Candidate(f"prefix {words!r}", (probe.with_reply(PrefixReply.with_words(loaded, words)),))]
            if words
            else []
        ),
        Candidate("canned", (probe.with_reply(CannedReply.with_words(loaded, words or USUAL_WORDS + " that.")),)),
    ]
    # Each alone: side by side is what this is for, and the first that passes would end it.
    results = []
    for candidate in candidates:
        choice = choose_reply(loaded, [candidate], groups, accept, golds=lambda sample: sample.gold.split("|"))
        results.append(choice.as_json())
        chosen.out.write_text(
            json.dumps({"words": words, "base": base, "results": results}, indent=1), encoding="utf-8"
        )
    print(f"{loaded.name}: the model's own words for the unknown: {words!r}")
    for result in results:
        for trial in result["trials"]:
            shares = "  ".join(f"{name} {trial[name]:4.0%}" for name in ("refused", "fluent", "leaked"))
            print(
                f"{trial['reply'][:60]:60} {trial['coefficient']:4g} {trial['group']:8} n={trial['prompts']}  {shares}"
            )


if __name__ == "__main__":
    main()
