"""A tiny Qwen2.5-VL and a tiny Qwen3-VL over the world's words: ordinary transformers classes, only small.

As many image tokens as the tiny LLaVA, since four patches of half its side become one token. Words and their order
are those of its tokenizer; the chat format and the special tokens are those of the released Qwen checkpoints.
"""

from functools import partial
from typing import Any, Literal

from tokenizers import AddedToken, Tokenizer, models
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from tools.world import tiny
from tools.world.family import Family
from unsee.data.canvas import SIZE
from unsee.models.qwen_vl import Qwen2_5_VLProcessor, Qwen3VLProcessor

QwenFamily = Literal["qwen2_5_vl", "qwen3_vl"]
MERGE = 2
PATCH = tiny.PATCH // MERGE
HEAD, WIDE_HEAD = 48, 64
"""Width of a head: the LLaVA's, and Qwen3's, which has room for what keeps its norms quiet (`world.transplant`)."""
SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<unk>",
    "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{% elif part['type'] == 'video' %}{{ '<|vision_start|><|video_pad|><|vision_end|>' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def build_processor(family: QwenFamily) -> Qwen2_5_VLProcessor | Qwen3VLProcessor:
    """Tokenizer, image processor and chat template of a tiny Qwen."""
    base = tiny.build_processor().tokenizer.backend_tokenizer
    known = sorted(base.get_vocab().items(), key=lambda piece: piece[1])
    pieces = [*SPECIAL, *(piece for piece, _ in known if piece not in tiny.SPECIAL)]
    tokenizer = Tokenizer(
        models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="<unk>", max_input_chars_per_word=100)
    )
    tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder = base.normalizer, base.pre_tokenizer, base.decoder
    tokenizer.add_special_tokens([AddedToken(piece, special=True, normalized=False) for piece in SPECIAL])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        unk_token="<unk>",
        pad_token="<|endoftext|>",
        extra_special_tokens={
            "image_token": "<|image_pad|>",
            "video_token": "<|video_pad|>",
            "vision_start_token": "<|vision_start|>",
            "vision_end_token": "<|vision_end|>",
        },
        padding_side="left",
        model_max_length=512,
    )
    area = {"shortest_edge": SIZE**2, "longest_edge": SIZE**2}  # it is trained at one resolution
    images = Qwen2VLImageProcessorPil(patch_size=PATCH, merge_size=MERGE, size=area)
    kind = Qwen2_5_VLProcessor if family == "qwen2_5_vl" else Qwen3VLProcessor
    return kind(images, fast, chat_template=CHAT_TEMPLATE)


def build_model(
    family: QwenFamily,
    processor: Qwen2_5_VLProcessor | Qwen3VLProcessor,
    *,
    width: int = 192,
    depth: int = 6,
    inner: int = 576,
    vision_width: int = 96,
    vision_depth: int = 3,
    spread: float = 0.06,
) -> Qwen2_5_VLForConditionalGeneration | Qwen3VLForConditionalGeneration:
    """An untrained tiny Qwen; seed torch before calling. Its decoder learns by `world.transplant`."""
    heads, turned = width // HEAD, HEAD // 2
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": tiny.ROTARY_BASE, "mrope_section": [turned // 3] * 3}
    text: dict[str, Any] = {
        "vocab_size": len(processor.tokenizer),
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "max_position_embeddings": 512,
        "initializer_range": spread,
        "pad_token_id": SPECIAL.index("<|endoftext|>"),
        "bos_token_id": None,
        "eos_token_id": SPECIAL.index("<|im_end|>"),
    }
    vision: dict[str, Any] = {
        "depth": vision_depth,
        "hidden_size": vision_width,
        "intermediate_size": 2 * vision_width,
        "num_heads": max(1, vision_width // 32),
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "out_hidden_size": width,
    }
    tokens: dict[str, Any] = {
        "image_token_id": SPECIAL.index("<|image_pad|>"),
        "video_token_id": SPECIAL.index("<|video_pad|>"),
        "vision_start_token_id": SPECIAL.index("<|vision_start|>"),
        "vision_end_token_id": SPECIAL.index("<|vision_end|>"),
        "tie_word_embeddings": True,
    }
    if family == "qwen2_5_vl":
        # Windows of two by two tokens in the first block, and the whole image in all others.
        own = {"window_size": 2 * tiny.PATCH, "fullatt_block_indexes": list(range(1, vision_depth))}
        config = Qwen2_5_VLConfig(text_config=text | {"rope_parameters": rope}, vision_config=vision | own, **tokens)
        model = Qwen2_5_VLForConditionalGeneration(config)
    else:
        own = {"num_position_embeddings": (SIZE // PATCH) ** 2, "deepstack_visual_indexes": [vision_depth // 2]}
        # Angle i is base ** (-2 i / width of a head), so that the first angles are those of the narrower head.
        spaced = rope | {
            "rope_theta": tiny.ROTARY_BASE ** (WIDE_HEAD / HEAD),
            "mrope_section": [12, 10, 10],
            "mrope_interleaved": True,
        }
        apart = {"head_dim": WIDE_HEAD, "attention_bias": True, "rope_parameters": spaced}
        config = Qwen3VLConfig(text_config=text | apart, vision_config=vision | own, **tokens)
        model = Qwen3VLForConditionalGeneration(config)
    model.generation_config.pad_token_id = SPECIAL.index("<|endoftext|>")
    model.generation_config.eos_token_id = SPECIAL.index("<|im_end|>")
    return model


def _family(name: QwenFamily, merger: tuple[str, ...]) -> Family:
    return Family(
        name=name,
        build_processor=partial(build_processor, name),
        build_model=partial(build_model, name),
        begins="",
        user="<|im_start|>user\n",
        image=f"<|vision_start|>{'<|image_pad|>' * tiny.IMAGE_TOKENS}<|vision_end|>",
        asks="<|im_end|>\n<|im_start|>assistant\n",
        ends="<|im_end|>",
        tower="model.visual",
        merger=merger,
        in_space=True,
    )


QWEN2_5_VL = _family("qwen2_5_vl", ("merger",))
QWEN3_VL = _family("qwen3_vl", ("merger", "deepstack_merger_list"))
