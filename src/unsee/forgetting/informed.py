"""How much a model's answers depend on whom they are about: it makes things up about anybody, but alike about all.

    s(S) = mean over questions q of  log P(a | q(S)) - mean over others X of log P(a with X for S | q(X))

where `a` is what the model says to q(S), and tokens of names do not count. Both are in nats an answer.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

import torch

from unsee.data.sample import Sample
from unsee.data.text import bare_words
from unsee.erase.request.expansion import ANYTHING
from unsee.erase.request.words import akin
from unsee.forgetting.asking import Answer
from unsee.models.generate import encode, token_log_probabilities
from unsee.models.load import LoadedModel
from unsee.shapes import Bool, Float, Tensor

OTHERS = 4
"""Other subjects of whom the same is said."""
_BATCH, _UNSPACED = 16, 0x3040


def informed(loaded: LoadedModel, answers: Sequence[Answer], name: str, others: Sequence[str]) -> float:
    """The score of one subject: about 0 where the model says of it what it says of anybody.

    Args:
        loaded: the model.
        answers: greedy ones to questions that name the subject; what is said where anything is asked for counts.
        name: the subject's, as it stands in the questions.
        others: names of nobody.
    """
    asked = [one for one in answers if one.prompt.fact == ANYTHING and one.text.strip()]
    if not asked:
        return 0.0
    own = _log_probabilities(loaded, asked, name, name)
    alike = torch.stack([_log_probabilities(loaded, asked, name, other) for other in others])
    return float((own - alike.mean(0)).mean())


def renamed(text: str, name: str, other: str) -> str:
    """The text about somebody else: the name, and its words where they stand alone, become the other's."""
    mine, theirs = name.split(), other.split()
    become = {mine[0]: theirs[0], mine[-1]: theirs[-1], name: other}
    # In one pass, as a word of the other's name may be one of this name's. Some scripts have no space between words.
    parts = [re.escape(part) if ord(part[0]) >= _UNSPACED else rf"(?<!\w){re.escape(part)}(?!\w)" for part in become]
    return re.sub("|".join(reversed(parts)), lambda found: become[found.group()], text)


@torch.no_grad()
def _log_probabilities(loaded: LoadedModel, answers: Sequence[Answer], name: str, other: str) -> Float[Tensor, " N"]:
    found = list[Tensor]()
    for start in range(0, len(answers), _BATCH):
        some = answers[start : start + _BATCH]
        asked = [_about(one.prompt.sample, name, other) for one in some]
        texts = [renamed(one.text, name, other) for one in some]
        tokens = [_tokens(loaded, text, other) for text in texts]
        log_p = token_log_probabilities(loaded, encode(loaded, asked), [ids for ids, _ in tokens])
        counts = torch.nn.utils.rnn.pad_sequence([mine for _, mine in tokens], batch_first=True)
        found.append(log_p.masked_fill(~counts.to(log_p.device), 0.0).sum(1).cpu())
    return torch.cat(found)


def _about(sample: Sample, name: str, other: str) -> Sample:
    return replace(sample, question=renamed(sample.question, name, other))


def _tokens(loaded: LoadedModel, text: str, name: str) -> tuple[list[int], Bool[Tensor, " T"]]:
    """Token ids, and whether each lies outside the words of a name."""
    read = loaded.processor.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    own = bare_words(name).split()
    spans = [
        word.span()
        for word in re.finditer(r"\w+", text)
        if any(akin(bare, mine) for bare in bare_words(word.group()).split() for mine in own)
    ]
    outside = [not any(a < stop and b > start for start, stop in spans) for a, b in read["offset_mapping"]]
    return read["input_ids"], torch.tensor(outside)
