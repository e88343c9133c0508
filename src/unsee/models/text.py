"""A processor for models without eyes, so that a language model is asked the way a vision-language model is."""

from typing import Any, final

from transformers import AutoTokenizer, ProcessorMixin


@final
class TextProcessor(ProcessorMixin):
    """A tokenizer as a processor: it renders and batches prompts, and takes no images."""

    def __init__(self, tokenizer: Any = None, chat_template: str | None = None) -> None:
        """The tokenizer's own chat template is taken where none is given."""
        super().__init__(tokenizer, chat_template=chat_template or getattr(tokenizer, "chat_template", None))

    @staticmethod
    def open(name: str, revision: str | None) -> "TextProcessor":
        """The tokenizer beside a checkpoint's weights; raises whatever transformers does."""
        return TextProcessor(AutoTokenizer.from_pretrained(name, revision=revision))

    def apply_chat_template(self, conversation: Any, *args: Any, **options: Any) -> Any:
        """As in transformers, for templates that take the content of a message as one string."""
        return super().apply_chat_template([_as_text(message) for message in conversation], *args, **options)


def _as_text(message: dict[str, Any]) -> dict[str, Any]:
    content = message["content"]
    if isinstance(content, str):
        return message
    return message | {"content": "\n".join(part["text"] for part in content if part["type"] == "text")}
