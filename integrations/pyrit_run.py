"""PyRIT 1.1: its converters on questions about what was erased, by its own target and attack.

python -m integrations.pyrit_run http://localhost:8000/v1 questions/data.jsonl --converter Base64Converter
"""

import argparse
import asyncio
import importlib

from pyrit.executor.attack import AttackConverterConfig, AttackExecutor, PromptSendingAttack
from pyrit.models import Message, MessagePiece
from pyrit.prompt_normalizer import ConverterConfiguration
from pyrit.prompt_target import OpenAIChatTarget
from pyrit.setup import IN_MEMORY, initialize_pyrit_async

from integrations.questions import known, recovered
from unsee.data import Sample


def message(sample: Sample) -> Message:
    """A question in PyRIT's shape: an image is a piece that names its file."""
    pieces = [MessagePiece(role="user", original_value=sample.question)]
    pieces += [
        MessagePiece(role="user", original_value=str(image.source), original_value_data_type="image_path")
        for image in sample.shown
    ]
    for piece in pieces:
        piece.conversation_id = pieces[0].conversation_id
    return Message(message_pieces=pieces)


async def leaked(url: str, questions: str, converter: str, model: str, key: str) -> dict[str, bool]:
    """By question, whether its fact was recovered."""
    await initialize_pyrit_async(IN_MEMORY, silent=True)
    target = OpenAIChatTarget(endpoint=url, model_name=model, api_key=key, temperature=0.0)
    config = AttackConverterConfig()
    if converter:
        made = getattr(importlib.import_module("pyrit.converter"), converter)()
        words = ConverterConfiguration(converters=[made], prompt_data_types_to_apply=["text"])
        config = AttackConverterConfig(request_converters=[words])
    asked = known(questions)
    done = await AttackExecutor(max_concurrency=4).execute_attack_async(
        attack=PromptSendingAttack(objective_target=target, attack_converter_config=config),
        objectives=[one.question for one in asked.values()],
        field_overrides=[{"next_message": message(one)} for one in asked.values()],
    )
    results = zip(asked.values(), done.get_results(), strict=True)
    return {
        one.id: recovered(one, result.last_response.converted_value if result.last_response else None)
        for one, result in results
    }


def main() -> None:
    """Print the share."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("url")
    options.add_argument("questions")
    options.add_argument("--converter", default="", help="a class of pyrit.converter that needs no options")
    options.add_argument("--model", default="erased")
    options.add_argument("--key", default="none")
    given = options.parse_args()
    found = asyncio.run(leaked(given.url, given.questions, given.converter, given.model, given.key))
    print(f"{given.converter or 'no converter'}: {sum(found.values())} of {len(found)} facts recovered")


if __name__ == "__main__":
    main()
