"""Questions as they come up in a longer conversation: behind earlier turns, or behind other words of the same turn.

A gate that was fitted on bare questions alone misses one in seven three turns deep, and one in five behind other words.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from unsee.data.sample import Sample
from unsee.errors import OptionError

_MOST = 4


def in_contexts(samples: Sequence[Sample], before: Sequence[Sample], share: float = 0.5, seed: int = 0) -> list[Sample]:
    """The samples, and a share of them once more in a longer conversation.

    Half of the copies come after one to four earlier turns, half behind as many statements in the same turn.

    Args:
        samples: what is asked.
        before: background prompts: text-only questions with an answer; others among them are passed over.
        share: of the samples that are copied, in [0, 1].
        seed: of the draw.

    Raises:
        OptionError: the share is outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise OptionError(f"share is {share}, expected one in [0, 1], such as 0.5")
    small = [s for s in before if s.image is None and s.form == "generation" and s.gold and not s.earlier]
    if not small:
        return list(samples)
    rng = random.Random(f"contexts/{seed}")
    copies = []
    for number, sample in enumerate(rng.sample(list(samples), round(share * len(samples)))):
        turns = rng.sample(small, min(rng.randint(1, _MOST), len(small)))
        named = replace(sample, id=f"{sample.id}/in-context{number}")
        if number % 2:
            copies.append(replace(named, earlier=tuple((s.question, s.answer) for s in turns)))
        else:
            copies.append(replace(named, question=" ".join([*(s.answer for s in turns), sample.question])))
    return [*samples, *copies]
