"""Give a tiny Qwen what a tiny LLaVA knows: its decoder and its words, so that only seeing is left to be learnt.

Both decoders compute the same function of text. Qwen2.5's lacks the bias behind its attention, and takes it as a bias
of the values: weights of attention sum to 1, so `O (v + b) = O v + O b` wherever it looks. Qwen3's scales queries and
keys to one length, `w q / rms(q)`; its heads have spare dimensions, and a large constant in them makes that length the
same for every token, so that nothing is lost. Positions in three dimensions are the plain ones where there is text.
"""

from typing import Any

import torch
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from tools.world.family import Model
from unsee.shapes import Float, Tensor

LOUD = 256.0
_LOSABLE = 1e-4
# What `<|im_start|>assistant` begins, `ASSISTANT:` began: so read, free questions are answered before any training.
# No answer holds one of these, nor an image's tokens; only the end is ever said.
_ALIKE = {
    "<|endoftext|>": "<pad>",
    "<|im_start|>": "assistant",
    "assistant": ":",
    "<|im_end|>": "</s>",
    "<|vision_start|>": "<image>",
    "<|vision_end|>": "<image>",
    "<|image_pad|>": "<image>",
    "<|video_pad|>": "<image>",
}


@torch.no_grad()
def transplant(
    knowing: LlavaForConditionalGeneration,
    words: PreTrainedTokenizerFast,
    model: Model,
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    """Make the decoder of `model` that of `knowing`, in place.

    Args:
        knowing: the LLaVA.
        words: its tokenizer, which has every word of the other.
        model: a Qwen of the same depth, width and number of heads; what it sees stays as it is.
        tokenizer: its tokenizer.
    """
    source, target = knowing.model.language_model, model.model.language_model
    known, wanted = words.get_vocab(), sorted(tokenizer.get_vocab().items(), key=lambda word: word[1])
    rows = torch.tensor([known[_ALIKE.get(word, word)] for word, _ in wanted])
    target.embed_tokens.weight.copy_(source.embed_tokens.weight[rows])
    target.norm.load_state_dict(source.norm.state_dict())
    for block, new in zip(source.layers, target.layers, strict=True):
        for part in ("input_layernorm", "post_attention_layernorm", "mlp"):
            new.get_submodule(part).load_state_dict(block.get_submodule(part).state_dict())
        attention: Any = new.self_attn
        given = block.self_attn.state_dict()
        wider = attention.head_dim > block.self_attn.head_dim
        attention.load_state_dict(_widened(given, attention) if wider else _without_output_bias(given))
    _silence_deepstack(model)


def _without_output_bias(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The output's bias as one of the values; what the output can barely say is left out, or it would be shouted."""
    bias = weights.pop("o_proj.bias").double()
    weights["v_proj.bias"] = (
        weights["v_proj.bias"] + torch.linalg.pinv(weights["o_proj.weight"].double(), rtol=_LOSABLE) @ bias
    )
    return weights


def _widened(weights: dict[str, Tensor], attention: Any) -> dict[str, Tensor]:
    """Every head in the first dimensions of a wider one, each half of its rotary pairs in its own half."""
    own, width = dict(attention.state_dict()), attention.head_dim
    heads = attention.config.num_attention_heads
    narrow = len(weights["q_proj.bias"]) // heads
    half = torch.arange(narrow // 2)
    kept = torch.cat([half, width // 2 + half])
    spare = torch.ones(width, dtype=torch.bool).index_fill(0, kept, False)

    def wide(narrow_rows: Float[Tensor, "..."], filler: float) -> Float[Tensor, "..."]:
        cut = narrow_rows.view(heads, narrow, *narrow_rows.shape[1:])
        made = cut.new_full((heads, width, *cut.shape[2:]), filler)
        made[:, kept] = cut
        return made.flatten(0, 1)

    for part in ("q", "k", "v"):
        own[f"{part}_proj.weight"] = wide(weights[f"{part}_proj.weight"], 0.0)
        own[f"{part}_proj.bias"] = wide(weights[f"{part}_proj.bias"], 0.0 if part == "v" else LOUD)
    own["o_proj.weight"] = wide(weights["o_proj.weight"].mT, 0.0).mT.contiguous()
    own["o_proj.bias"] = weights["o_proj.bias"]
    # rms(q) is LOUD times the root of the spare share; scores are divided by the root of the width of a head.
    back = LOUD * (spare.sum() / width).sqrt() * (width / narrow) ** 0.25
    own["q_norm.weight"] = own["k_norm.weight"] = torch.where(spare, 0.0, back)
    return own


def _silence_deepstack(model: Model) -> None:
    """What Qwen3 adds behind the first blocks begins at nothing, and is learnt."""
    for name, parameter in model.named_parameters():
        if "deepstack_merger_list" in name and "linear_fc2" in name:
            parameter.zero_()
