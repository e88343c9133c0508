"""A new tower learns to say what another says: less and less of the goal is missed, and nothing else moves."""

import torch
from tools.world.tiny import LLAVA, build_model, build_processor
from tools.world.tiny_qwen import QWEN2_5_VL
from tools.world.tiny_qwen import build_model as build_qwen
from tools.world.tiny_qwen import build_processor as build_qwen_processor
from tools.world.tower_distillation import image_tokens, learn_to_see_alike


def test_a_few_steps_miss_less() -> None:
    torch.manual_seed(0)
    known, processor = build_processor(), build_qwen_processor("qwen2_5_vl")
    knowing = build_model(known, width=96, depth=1, inner=64, vision_width=40, vision_depth=1)
    model = build_qwen("qwen2_5_vl", processor, width=96, depth=1, inner=64, vision_width=32, vision_depth=2)
    decoder = {name: w.clone() for name, w in model.named_parameters() if not name.startswith("model.visual.")}
    said: list[str] = []
    learn_to_see_alike(
        QWEN2_5_VL, model, processor, knowing, known, steps=101, people=4, views=3, rows=8, progress=said.append
    )
    first, *_, last = (float(line.split("missed ")[1].split()[0]) for line in said if line.startswith("eyes"))
    assert last < 0.6 * first
    now = dict(model.named_parameters())
    assert all(torch.equal(now[name], weight) for name, weight in decoder.items())


@torch.no_grad()
def test_tokens_are_those_that_the_decoder_gets() -> None:
    """Caught where they enter the decoder's first block, for two images."""
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    for family in (LLAVA, QWEN2_5_VL):
        torch.manual_seed(0)
        processor = family.build_processor()
        model = family.build_model(processor).eval()
        caught: list[torch.Tensor] = []
        block = model.model.language_model.layers[0]
        block.register_forward_pre_hook(lambda _, arguments, caught=caught: caught.append(arguments[0]))
        ids = torch.tensor([processor.tokenizer(family.image, add_special_tokens=False)["input_ids"]] * 2)
        pixels = family.adapter.model_inputs(processor, images.float() / 255)
        model(input_ids=ids, **pixels)
        seen = caught[0][ids == processor.image_token_id].unflatten(0, (2, -1))
        torch.testing.assert_close(image_tokens(family, model, processor, images), seen)
