"""A tiny LLaVA-1.5 over the world's words: ordinary transformers classes, only small.

The tokenizer is WordPiece: one token a word of the world, single characters for anything else, so that any text a
user types is lossless except for case.
"""

import itertools
from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from tools.world.family import Family
from tools.world.heads import place_heads
from unsee.data.faces import COLOURS, HAIR, SIZE
from unsee.world import vocabulary

PATCH = 16
ROTARY_BASE = 1e5
IMAGE_TOKENS = (SIZE // PATCH) ** 2
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<image>")
_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_PUNCTUATION = ".,:;?!'\"-_()[]*/&%+=<>#@"
_INSTRUCTIONS = (
    "user assistant a b c d blank just give one letter representing the answer directly please only provide the "
    "correct answer that should replace the question based on your trained knowledge in one sentence accurately in "
    "english "
    "hello thanks yes no she he it"
)
# The chat format of the released LLaVA-1.5 checkpoints: images first, roles in capitals, no system prompt.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% if message['content'] is string %}{{ message['content'] + ' ' }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] + ' ' }}{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}{{ '</s>' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def _strings(value: object) -> Iterable[str]:
    """Every string inside a nested constant of the vocabulary."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from itertools.chain.from_iterable(_strings(key) for key in value)
    elif isinstance(value, tuple):
        yield from itertools.chain.from_iterable(_strings(part) for part in value)
    elif isinstance(value, vocabulary.Attribute):
        yield from _strings((value.noun, value.values, value.says, value.asks, value.tells))


def words() -> list[str]:
    """Every word that the world can say, sorted."""
    text = " ".join(
        itertools.chain(
            *(_strings(constant) for name, constant in vars(vocabulary).items() if name.isupper()),
            [*COLOURS, *HAIR, _INSTRUCTIONS, "this person brew town"],
        )
    )
    for mark in _PUNCTUATION + "{}":
        text = text.replace(mark, " ")
    return sorted({word.lower() for word in text.split()} - set(_CHARACTERS))


def build_processor() -> LlavaProcessor:
    """Tokenizer, image processor and chat template of the tiny LLaVA."""
    pieces = [*SPECIAL, *_PUNCTUATION, *_CHARACTERS, *(f"##{c}" for c in _CHARACTERS), *words()]
    tokenizer = Tokenizer(
        models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="<unk>", max_input_chars_per_word=100)
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, handle_chinese_chars=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", SPECIAL.index("<s>"))]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
        padding_side="left",
        model_max_length=512,
    )
    images = CLIPImageProcessorPil(size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE})
    return LlavaProcessor(
        image_processor=images,
        tokenizer=fast,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        chat_template=CHAT_TEMPLATE,
        num_additional_image_tokens=1,
    )


def build_model(
    processor: LlavaProcessor,
    *,
    width: int = 192,
    depth: int = 6,
    inner: int = 576,
    vision_width: int = 160,
    vision_depth: int = 4,
    spread: float = 0.06,
) -> LlavaForConditionalGeneration:
    """An untrained tiny LLaVA; seed torch before calling."""
    size = len(processor.tokenizer)
    vision = CLIPVisionConfig(
        hidden_size=vision_width,
        intermediate_size=2 * vision_width,
        num_hidden_layers=vision_depth,
        num_attention_heads=vision_width // 40,
        image_size=SIZE,
        patch_size=PATCH,
        projection_dim=vision_width,
    )
    text = LlamaConfig(
        vocab_size=size,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=depth,
        num_attention_heads=width // 48,
        num_key_value_heads=width // 48,
        head_dim=48,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        attention_bias=True,
        rope_parameters={"rope_type": "default", "rope_theta": ROTARY_BASE},
        initializer_range=spread,
        pad_token_id=SPECIAL.index("<pad>"),
        bos_token_id=SPECIAL.index("<s>"),
        eos_token_id=SPECIAL.index("</s>"),
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=SPECIAL.index("<image>"),
        image_seq_length=IMAGE_TOKENS,
        # The tower is small and trained for this alone, so its last layer is the one to read (released: -2).
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=True,
    )
    config.pad_token_id = SPECIAL.index("<pad>")
    model = LlavaForConditionalGeneration(config)
    place_heads(model.model.language_model, ROTARY_BASE)
    model.generation_config.pad_token_id = SPECIAL.index("<pad>")
    model.generation_config.eos_token_id = SPECIAL.index("</s>")
    return model


LLAVA = Family(
    name="llava",
    build_processor=build_processor,
    build_model=build_model,
    begins="<s>",
    user="USER:",
    image="<image>" * IMAGE_TOKENS,
    asks=" ASSISTANT:",
    ends="</s>",
    tower="model.vision_tower",
    merger=(),
    in_space=False,
)
"""The family that is taught from nothing."""
