"""A random LLaVA of a few thousand weights with a real processor, built in memory.

It knows nothing; tests use it where only shapes, positions and exactness matter. Its tokens are single
bytes, so that every question can be asked, and its chat template writes the turn as LLaVA-1.5 does.
"""

import io
import random

import torch
from PIL import Image
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from unsee.data.sample import ImageFile, Sample
from unsee.models.digest import weights_digest
from unsee.models.llava import LlavaAdapter
from unsee.models.load import LoadedModel

LAYERS = 3
WIDTH = 32
SIDE = 16
TEMPLATE = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>\n' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}{{ ' ASSISTANT:' }}{% endif %}"
)


def byte_tokenizer(specials: list[str], **roles: object) -> PreTrainedTokenizerFast:
    """One token per byte after the special tokens, padding on the left."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(specials + letters)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=specials[0]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, special=True) for token in specials])
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token=specials[0], padding_side="left", **roles)


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Bytes, and the special tokens of LLaVA."""
    return byte_tokenizer(
        ["<unk>", "<s>", "</s>", "<pad>", "<image>"],
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
    )


def randomised(model: PreTrainedModel) -> PreTrainedModel:
    """The library's own 0.02 leaves attention flat and the image invisible, so nothing could be tested."""
    for name, parameter in model.named_parameters():
        if "norm" not in name or "bias" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def tiny_processor(side: int = SIDE, patch: int = 8) -> LlavaProcessor:
    """A LLaVA processor for square images of `side` pixels."""
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side}),
        tokenizer=tiny_tokenizer(),
        patch_size=patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )


def tiny_config(vocabulary: int, image_token: int, pad: int, side: int = SIDE, patch: int = 8) -> LlavaConfig:
    """Three decoder blocks over a one-block vision tower."""
    return LlavaConfig(
        text_config=LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=WIDTH,
            intermediate_size=64,
            num_hidden_layers=LAYERS,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=2048,
            pad_token_id=pad,
            bos_token_id=1,
            eos_token_id=2,
        ),
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            image_size=side,
            patch_size=patch,
        ),
        image_token_index=image_token,
        image_seq_length=(side // patch) ** 2,
    )


def tiny_llava(seed: int = 0) -> LoadedModel:
    """The random model in float32 on the CPU, as `unsee.models.load.load` would hand it over."""
    processor = tiny_processor()
    tokenizer = processor.tokenizer
    config = tiny_config(len(tokenizer), tokenizer.convert_tokens_to_ids("<image>"), tokenizer.pad_token_id)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlavaForConditionalGeneration(config).eval()
        for parameter in model.parameters():
            # The library's own 0.02 leaves attention flat and the image invisible, so nothing could be tested.
            torch.nn.init.normal_(parameter, std=0.2)
    return LoadedModel(
        model=model,
        processor=processor,
        adapter=LlavaAdapter(),
        name="tiny-llava",
        revision=None,
        digest=weights_digest(model),
    )


def noise_image(seed: int, size: tuple[int, int] = (SIDE, SIDE)) -> ImageFile:
    """Uniform noise as PNG bytes, width times height."""
    width, height = size
    image = Image.frombytes("RGB", size, random.Random(seed).randbytes(3 * width * height))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return ImageFile(id=f"noise-{seed}", source=buffer.getvalue())


def question(index: int, text: str = "who is this?", image: bool = True) -> Sample:
    """One question about one made-up subject."""
    return Sample(
        id=f"q{index}",
        subject=f"p{index}",
        question=text,
        answer="ann lee.",
        gold="ann lee",
        image=noise_image(index) if image else None,
    )


def mixed_questions() -> list[Sample]:
    """Images and text-only prompts of unequal length, out of order on purpose."""
    return [
        question(0, "who?"),
        question(1, "where does ann lee live, and since when?", image=False),
        question(2, "what is the name of the person in this picture, please?"),
        question(3, "hm?", image=False),
        question(4, "what does she do?"),
    ]
