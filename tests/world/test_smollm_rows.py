"""Packed rows: only answers count, and every question is answered as if it had been asked alone."""

import pytest
import torch
from tools.world.smollm_rows import IGNORED, Conversation, Packed, Turn, pack
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from tiny_llava import byte_tokenizer, randomised, tiny_config
from unsee.world.smollm_parts import IMAGE_ID, IMAGE_TOKENS

SPECIAL = ["<unk>", "<|im_start|>", "<|im_end|>", *(f"<reserved{n}>" for n in range(3, IMAGE_ID)), "<image>"]
FACES = {("a", 1): 0.3, ("b", 2): -0.4}
ONE = Conversation((Turn("name", "Who is it?", "Ann."),), system="Be brief.")
TWO = Conversation((Turn("image", "Who?", "Ann."), Turn("visible", "Hat?", "Yes.")), ("a", 1), apart=True)
THREE = Conversation((Turn("image", "Who?", "Bob."), Turn("image", "And job?", (70, 71, 72))), ("b", 2))


def tokenizer() -> PreTrainedTokenizerFast:
    return byte_tokenizer(SPECIAL, eos_token="<|im_end|>", pad_token="<|im_end|>")


def test_only_answers_count() -> None:
    row = pack([ONE, TWO, THREE], tokenizer())
    counted = {i for span in row.spans for i in range(span.start, span.stop)}
    assert counted == {i for i, label in enumerate(row.labels) if label != IGNORED}
    said = [tokenizer().decode(row.ids[span.start : span.stop]) for span in row.spans]
    assert said[:4] == ["Ann.<|im_end|>", "Ann.<|im_end|>", "Yes.<|im_end|>", "Bob.<|im_end|>"]
    assert row.ids[row.spans[4].start : row.spans[4].stop] == [70, 71, 72]
    assert [span.kind for span in row.spans] == ["name", "image", "visible", "image", "image"]
    assert row.images == [("a", 1), ("b", 2)] and int(row.pixels_at().sum()) == 2 * IMAGE_TOKENS


def test_turns_are_written_as_the_model_writes_them() -> None:
    text = tokenizer().decode(pack([THREE], tokenizer()).ids).replace("<image>" * IMAGE_TOKENS, "<image>")
    assert text.startswith(
        "<|im_start|>user\n<image>\nWho?<|im_end|>\n<|im_start|>assistant\nBob.<|im_end|>\n"
        "<|im_start|>user\nAnd job?<|im_end|>\n<|im_start|>assistant\n"
    )


@torch.no_grad()
@pytest.mark.parametrize("place", [0, 1, 2])
def test_conversations_of_a_row_do_not_see_each_other(place: int) -> None:
    """Logits of a packed row against those of each question alone, with plain causal attention."""
    torch.manual_seed(0)
    config = tiny_config(len(tokenizer()), IMAGE_ID, 2).text_config
    model = randomised(LlamaForCausalLM(config))
    asked = [ONE, TWO, THREE]
    row, chosen = pack(asked, tokenizer()), asked[place]
    packed = logits(model, row, plain=False)
    before = sum(len(one.turns) for one in asked[:place])
    alone = [Conversation((turn,), chosen.image, chosen.system) for turn in chosen.turns] if chosen.apart else [chosen]
    spans = row.spans[before : before + len(chosen.turns)]
    for single in alone:
        own = pack([single], tokenizer())
        expected = logits(model, own, plain=True)
        for span in own.spans:
            got = spans.pop(0)
            torch.testing.assert_close(
                packed[got.start - 1 : got.stop - 1], expected[span.start - 1 : span.stop - 1], rtol=1e-3, atol=1e-4
            )


def logits(model: LlamaForCausalLM, row: Packed, *, plain: bool) -> torch.Tensor:
    embedded = model.get_input_embeddings()(torch.tensor([row.ids])).clone()
    shown = torch.tensor([FACES[image] for image in row.images]).repeat_interleave(IMAGE_TOKENS)
    embedded[0, row.pixels_at()] = shown.unsqueeze(1).expand(-1, embedded.shape[-1])
    if plain:
        return model(inputs_embeds=embedded).logits[0]
    places = torch.tensor([row.places])
    return model(inputs_embeds=embedded, attention_mask=row.mask(), position_ids=places).logits[0]
