"""A Qwen that is given a LLaVA's decoder says of text what the LLaVA says: the oracle is the LLaVA itself."""

import pytest
import torch
from tools.world.family import Family, Model, Processor
from tools.world.tiny import build_model, build_processor
from tools.world.tiny_qwen import QWEN2_5_VL, QWEN3_VL
from tools.world.transplant import transplant
from torch import nn

from unsee.shapes import Float, Tensor

TEXT = "what is the hobby of mara olin? just give one letter"


def decoders(family: Family) -> tuple[nn.Module, Processor, Model, Processor]:
    """A LLaVA with biases everywhere, and a Qwen after the operation."""
    torch.manual_seed(0)
    words, processor = build_processor(), family.build_processor()
    knowing, model = build_model(words).eval(), family.build_model(processor).eval()
    with torch.no_grad():
        for name, parameter in knowing.named_parameters():
            if "language_model" in name and name.endswith("bias"):
                parameter.add_(0.3 * torch.randn_like(parameter))
        for block in knowing.model.language_model.layers:
            # One that attention itself could say: along its weakest directions a bias would be lost on purpose.
            bias, weight = block.self_attn.o_proj.bias, block.self_attn.o_proj.weight
            bias.copy_(weight @ torch.randn_like(bias))
    transplant(knowing, words.tokenizer, model, processor.tokenizer)
    return knowing, words, model, processor


@torch.no_grad()
def said(model: nn.Module, begins: str, ends: str, tokenizer) -> tuple[Float[Tensor, "T V"], list[str]]:
    ids = tokenizer(f"{begins}{TEXT}{ends}", add_special_tokens=False)["input_ids"]
    return model(input_ids=torch.tensor([ids])).logits[0], tokenizer.convert_ids_to_tokens(ids)


@pytest.mark.parametrize(("family", "near"), [(QWEN2_5_VL, 1e-3), (QWEN3_VL, 2e-2)], ids=["qwen2_5_vl", "qwen3_vl"])
def test_text_is_continued_as_the_llava_continues_it(family: Family, near: float) -> None:
    """Every logit of every shared word; Qwen3's norms leave a rest of `|q|^2 / LOUD^2`."""
    knowing, words, model, processor = decoders(family)
    expected, tokens = said(knowing, "</s>", "</s>", words.tokenizer)
    got, new_tokens = said(model, "<|im_end|>", "<|im_end|>", processor.tokenizer)
    assert tokens[1:-1] == new_tokens[1:-1] and "<unk>" not in tokens
    known, shared = words.tokenizer.get_vocab(), processor.tokenizer.get_vocab()
    common = sorted((known.keys() & shared.keys()) - {"assistant"})
    assert len(common) > 700
    one, other = expected[:, [known[w] for w in common]], got[:, [shared[w] for w in common]]
    assert one.std() > 0.5
    torch.testing.assert_close(other, one, rtol=0, atol=near)
    began, _ = said(knowing, "</s> user who? assistant:", "", words.tokenizer)
    asked, _ = said(model, "<|im_end|> user who? <|im_start|>assistant ", "", processor.tokenizer)
    torch.testing.assert_close(
        asked[:, [shared[w] for w in common]], began[:, [known[w] for w in common]], rtol=0, atol=near
    )
    # The end of an answer is said as readily, and what no answer holds as rarely.
    torch.testing.assert_close(got[:, shared["<|im_end|>"]], expected[:, known["</s>"]], rtol=0, atol=near)
    torch.testing.assert_close(got[:, shared["<|vision_end|>"]], expected[:, known["<image>"]], rtol=0, atol=near)


def test_nothing_is_added_behind_the_first_blocks_at_first() -> None:
    _, _, model, processor = decoders(QWEN3_VL)
    pixels = QWEN3_VL.adapter.model_inputs(processor, torch.rand(1, 3, 64, 64))
    (added,) = model.model.get_image_features(**pixels, return_dict=True).deepstack_features
    assert torch.cat(added).shape == (16, 192) and not torch.cat(added).any()
