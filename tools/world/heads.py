"""Start a small decoder with the two heads that every trained language model has, and that are slow to learn.

A token that knows its neighbours, and a token that finds its like and copies what stood before it, are learnt by
large models from billions of words ("induction heads", Olsson et al. 2022, arXiv 2209.11895). Thousands of short
conversations do not suffice: a multiple choice then stays at chance (docs/log.md). Starting weights may imitate what
training would find (mimetic initialisation, Trockman and Kolter 2023, arXiv 2305.09828); all of them are learnt on.
"""

import torch
from torch import nn
from transformers import LlamaModel


@torch.no_grad()
def place_heads(
    decoder: LlamaModel, rotary_base: float, *, words: float = 0.5, branch: float = 0.1, sharpness: float = 7.0
) -> None:
    """Scale and place the starting weights of `decoder`, in place.

    Heads 0 and 1 of the first block look one and two tokens back: with rotary angles `f`, biases
    `k = c (1, 0)`, `q = c (cos o f, -sin o f)` give the score `c^2 sum_i cos((t - s - o) f_i)` to any two tokens.
    Head 0 of every later block looks for the token that its neighbour (block 1 and 2) or it itself (from block 3)
    has in mind, and copies what stood two tokens before that: the letter of an option.

    Args:
        decoder: with two heads or more and attention biases.
        rotary_base: the decoder's; slow, such as 1e5, because a fast one scrambles likeness over distance.
        words: root mean square of the word embeddings; the final norm takes it back, so that first logits are small.
        branch: what the blocks' outputs are scaled by, so that words are not drowned by them.
        sharpness: `c`.
    """
    config, weights = decoder.config, dict(decoder.named_parameters())
    size = config.hidden_size // config.num_attention_heads
    head = [slice(number * size, (number + 1) * size) for number in range(2)]
    for name, weight in weights.items():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            weight.mul_(branch)
    weights["embed_tokens.weight"].mul_(words / config.initializer_range)
    weights["norm.weight"].fill_(config.initializer_range / words)

    def part(block: int, projection: str, kind: str = "weight") -> nn.Parameter:
        return weights[f"layers.{block}.self_attn.{projection}_proj.{kind}"]

    angles = rotary_base ** (-torch.arange(size // 2) / (size // 2))
    for number, back in enumerate((1, 2)):
        rows = head[number]
        for projection in ("q", "k"):
            part(0, projection)[rows] *= 0.1  # what the tokens are must not outweigh where they are
        half = torch.zeros(size // 2)
        part(0, "k", "bias")[rows] = sharpness * torch.cat([half + 1, half])
        part(0, "q", "bias")[rows] = sharpness * torch.cat([torch.cos(back * angles), -torch.sin(back * angles)])
        part(0, "o")[:, rows] /= branch
    (said, said_back), (mark, mark_back) = (
        (part(0, "v")[rows].clone(), part(0, "o")[:, rows].clone()) for rows in head
    )
    for block in range(1, config.num_hidden_layers):
        part(block, "k")[head[0]] = said
        part(block, "q")[head[0]] = said_back.mT if block < 3 else said
        part(block, "v")[head[0]] = mark_back.mT
        part(block, "o")[:, head[0]] = 1.5 * mark.mT
