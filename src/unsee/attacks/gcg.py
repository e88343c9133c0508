"""A suffix of tokens searched by gradients (GCG) on weights that the attacker holds, put to the defended model."""

import copy
from collections.abc import Sequence

from unsee.attacks.base import Tries, Victim, once, words
from unsee.attacks.prefill import beginning
from unsee.data.sample import Sample
from unsee.extras import extra
from unsee.models.generate import render
from unsee.models.load import LoadedModel
from unsee.registry import attack

STEPS, WIDTH = 30, 64
_PLACE = "{optim_str}"


@attack(
    "gcg", access="weights", queries=1, needs=("no image",), forms=("generation",),
    recovered="the fact is said behind the suffix", source="nanogcg 0.3; Zou et al. (arXiv 2307.15043)",
)  # fmt: skip
def gcg(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """A suffix under which the bare model begins its answer most surely; needs the extra redteam."""
    extra("nanogcg", "redteam")
    return once(victim.said([words(one, f"{{q}} {suffix(victim.loaded, one, seed)}")[0] for one in questions]))


def suffix(loaded: LoadedModel, question: Sample, seed: int, steps: int = STEPS, width: int = WIDTH) -> str:
    """Tokens that raise `log p(beginning of the answer | question, suffix)`.

    Raises:
        MissingExtraError: nanogcg is not installed.
    """
    nanogcg = extra("nanogcg", "redteam")
    (prompt,) = render(loaded, words(question, f"{{q}} {_PLACE}"))
    tokenizer = copy.copy(loaded.processor.tokenizer)
    tokenizer.chat_template = "{{ messages[0]['content'] }}"  # the prompt is rendered already
    config = nanogcg.GCGConfig(
        num_steps=steps, search_width=width, topk=64, optim_str_init="x x x x x x x x", use_prefix_cache=False,
        filter_ids=False, allow_non_ascii=True, seed=seed, verbosity="ERROR",
    )  # fmt: skip
    found = nanogcg.run(loaded.model, tokenizer, [{"role": "user", "content": prompt}], beginning(question), config)
    return found.best_string
