"""Draw a conversation in which the name lights up: what a subject's gate reads at each text token.

Run: `python -m benchmarks.token_scores DIR/eraser --name "jonas lorne" --out PNG`; `DIR` is what `unsee forget` wrote
for that name on a built-in model.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from unsee.data.prompts import Message
from unsee.erase.eraser import Eraser
from unsee.erase.fit.tokens import capture_tokens
from unsee.erase.gates.base import require_kind
from unsee.erase.gates.subject import SubjectGate
from unsee.models.generate import Conversation, encode_conversations
from unsee.models.load import load
from unsee.world.generate import World

WIDE = 78


def main() -> None:
    """Read, score, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("eraser", type=Path)
    parser.add_argument("--model", default="world:llava")
    parser.add_argument("--name", default="jonas lorne")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    loaded, people = load(options.model), World().of("private")
    person = next(one for one in people if one.name == options.name)
    other = next(one for one in people if not {*one.name.split()} & {*person.name.split()})
    gate = require_kind(Eraser.from_pretrained(options.eraser).gate, SubjectGate)
    said = [
        ("user", f"what is {other.name}'s job?"), ("assistant", f"{other.pronoun} works as a {other.facts['job']}."),
        ("user", f"do you know {person.name}?"), ("assistant", "yes."), ("user", f"what is {person.pronoun} job?"),
    ]  # fmt: skip
    turns = [Message(role=role, content=[{"type": "text", "text": text}]) for role, text in said]
    prompt = Conversation("picture", turns)
    states = capture_tokens(loaded, [prompt], gate.layers)
    scores = (torch.einsum("trd,rd->t", states.text, gate.weight[0, 0]) + gate.bias[0, 0]).tolist()
    ids = encode_conversations(loaded, [prompt])["input_ids"][0].tolist()
    words = [loaded.processor.tokenizer.decode([token]).strip() or "\u00b7" for token in ids]
    draw(words, scores, options.out)


def draw(words: list[str], scores: list[float], out: Path) -> None:
    """Each token in a box; red where its score reaches the limit."""
    figure, axes = plt.subplots(figsize=(9, 2.4))
    column, line = 0.0, 0
    for word, score in zip(words, scores, strict=True):
        size = max(len(word), 4) + 1.4
        if column + size > WIDE:
            column, line = 0.0, line + 1
        shade = (1, 0.45, 0.35) if score >= 0 else plt.get_cmap("Blues")(max(0.0, min(0.5, 0.5 + score / 3)))
        axes.text(
            column + size / 2, -line, f"{word}\n{score:+.1f}", ha="center", va="center", fontsize=7,
            family="monospace", bbox={"facecolor": shade, "edgecolor": "none", "boxstyle": "round,pad=0.15"},
        )  # fmt: skip
        column += size
    axes.set_xlim(-1, WIDE + 1)
    axes.set_ylim(-line - 0.7, 0.7)
    axes.axis("off")
    axes.set_title("score less limit at each text token (red: fires)", fontsize=9, loc="left")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=160, bbox_inches="tight")


if __name__ == "__main__":
    main()
