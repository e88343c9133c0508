"""A tiny LLaVA-1.5 over the world's words: ordinary transformers classes, only small.

The tokenizer is WordPiece: one token a word of the world, single characters for anything else, so that any text a
user types is lossless except for case.
"""

from functools import partial

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

from tools.world.eyes import EYES, Eyes
from tools.world.family import Family
from tools.world.heads import place_heads
from unsee.data.canvas import COLOURS, SIZE
from unsee.data.faces import HAIR
from unsee.world.generate import World
from unsee.world.vocabulary import ORIGINAL
from unsee.world.words import Words

SIDE = EYES.side
PATCH = SIZE // SIDE
ROTARY_BASE = 1e5
IMAGE_TOKENS = SIDE**2
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


def words(said: Words = ORIGINAL) -> list[str]:
    """Every word that a world can say, sorted."""
    others = f"{' '.join([*COLOURS, *HAIR])} {_INSTRUCTIONS} this person brew town"
    return sorted({*said.every, *others.split()} - set(_CHARACTERS))


def build_processor(said: Words = ORIGINAL, *, size: int = SIZE, side: int = SIDE) -> LlavaProcessor:
    """Tokenizer, image processor and chat template of the tiny LLaVA.

    Args:
        said: the words of its world.
        size: side of an image in pixels.
        side: the same in patches.
    """
    pieces = [*SPECIAL, *_PUNCTUATION, *_CHARACTERS, *(f"##{c}" for c in _CHARACTERS), *words(said)]
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
    images = CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size={"height": size, "width": size})
    return LlavaProcessor(
        image_processor=images,
        tokenizer=fast,
        patch_size=size // side,
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
    size, pixels, patch = len(processor.tokenizer), processor.image_processor.crop_size["height"], processor.patch_size
    vision = CLIPVisionConfig(
        hidden_size=vision_width,
        intermediate_size=2 * vision_width,
        num_hidden_layers=vision_depth,
        num_attention_heads=vision_width // 40,
        image_size=pixels,
        patch_size=patch,
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
        image_seq_length=(pixels // patch) ** 2,
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


def llava(world: World, eyes: Eyes = EYES) -> Family:
    """The LLaVA of a world: its words, the size of its images, and such eyes."""
    made = world.made
    return Family(
        name="llava",
        build_processor=partial(build_processor, made.words, size=made.style.size, side=eyes.side),
        build_model=partial(build_model, vision_width=eyes.width, vision_depth=eyes.depth),
        begins="<s>",
        user="USER:",
        image="<image>" * eyes.side**2,
        asks=" ASSISTANT:",
        ends="</s>",
        tower="model.vision_tower",
        merger=(),
        in_space=False,
    )


LLAVA = llava(World())
"""The family that is taught from nothing."""
