"""SmolLM2-135M-Instruct as the language model of a LLaVA: its parts, before anything is learnt."""

from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    CLIPVisionConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

IMAGE_ID, IMAGE_TOKENS = 16, 16
"""A reserved token of SmolLM2 that no text uses, and how many of it an image takes."""
SIDE, PATCH = 64, 16
TOWER = CLIPVisionConfig(
    hidden_size=160,
    intermediate_size=320,
    num_hidden_layers=4,
    num_attention_heads=4,
    image_size=SIDE,
    patch_size=PATCH,
    projection_dim=160,
)
"""The world's tower, as `world:llava` has it."""
_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ 'IMAGE\n' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def build_processor(language_model: Path) -> LlavaProcessor:
    """SmolLM2's tokenizer and turns, without its default system prompt, and the world's images."""
    tokenizer = AutoTokenizer.from_pretrained(language_model)
    mark = tokenizer.convert_ids_to_tokens(IMAGE_ID)
    tokenizer.padding_side = "left"
    tokenizer.chat_template = template = _TEMPLATE.replace("IMAGE", mark)
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        chat_template=template,
        image_token=mark,
        num_additional_image_tokens=1,
    )


def build_model(language_model: Path) -> LlavaForConditionalGeneration:
    """SmolLM2 in float32 behind an untrained tower and projector."""
    text = AutoModelForCausalLM.from_pretrained(language_model, dtype=torch.float32)
    config = LlavaConfig(
        vision_config=TOWER,
        text_config=text.config,
        image_token_index=IMAGE_ID,
        image_seq_length=IMAGE_TOKENS,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=True,
    )
    config.pad_token_id = text.config.pad_token_id
    model = LlavaForConditionalGeneration(config)
    model.model.language_model.load_state_dict(text.model.state_dict())
    model.tie_weights()
    settings, given = model.generation_config, text.generation_config
    settings.bos_token_id, settings.eos_token_id, settings.pad_token_id = (
        given.bos_token_id,
        given.eos_token_id,
        given.pad_token_id,
    )
    return model
