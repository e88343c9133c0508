"""Random models without an adapter of their own: Idefics3, told where its parts are, and a Llama that has no eyes."""

import torch
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3Processor,
    LlamaConfig,
    LlamaForCausalLM,
)
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

from tiny_llava import LAYERS, WIDTH, byte_tokenizer, randomised
from unsee.models import GenericAdapter
from unsee.models.digest import weights_digest
from unsee.models.load import LoadedModel
from unsee.models.text import TextProcessor

SIDE = 16
IDEFICS = GenericAdapter("idefics3", "model.text_model", vision="model.vision_model", image_marker="<image>")
LLAMA = GenericAdapter("llama", "model")
TEMPLATE = (
    "{% for message in messages %}{{ message['role'].capitalize() + ':' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<end_of_utterance>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
PLAIN = (
    "{% for message in messages %}[{{ message['role'] }}] {{ message['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
_IDEFICS_TOKENS = [
    "<unk>", "<s>", "</s>", "<pad>", "<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>",
]  # fmt: skip


def _text(vocabulary: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        intermediate_size=64,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        pad_token_id=3,
        bos_token_id=1,
        eos_token_id=2,
    )


def tiny_idefics3(seed: int = 0) -> LoadedModel:
    """An image of 16 pixels is four tokens between two markers."""
    tokenizer = byte_tokenizer(_IDEFICS_TOKENS, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    images = Idefics3ImageProcessorPil(
        size={"longest_edge": SIDE}, max_image_size={"longest_edge": SIDE}, do_image_splitting=False
    )
    processor = Idefics3Processor(images, tokenizer, image_seq_len=4, chat_template=TEMPLATE)
    vision = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
        "image_size": SIDE, "patch_size": 4,
    }  # fmt: skip
    config = Idefics3Config(
        text_config=_text(len(tokenizer)).to_dict(), vision_config=vision, scale_factor=2, pad_token_id=3,
        image_token_id=_IDEFICS_TOKENS.index("<image>"),
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = randomised(Idefics3ForConditionalGeneration(config))
    return LoadedModel(model, processor, IDEFICS, "tiny-idefics3", None, weights_digest(model))


def tiny_llama(seed: int = 0) -> LoadedModel:
    """A language model alone."""
    tokenizer = byte_tokenizer(["<unk>", "<s>", "</s>", "<pad>"], bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    tokenizer.chat_template = PLAIN
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = randomised(LlamaForCausalLM(_text(len(tokenizer))))
    return LoadedModel(model, TextProcessor(tokenizer), LLAMA, "tiny-llama", None, weights_digest(model))
