"""What `unsee ask` asks: the options of a conversation, made into a sample."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unsee.errors import DataError

if TYPE_CHECKING:
    from unsee.data.sample import ImageFile, Sample, Turn


def sample_asked(question: str, images: Sequence[Path], video: Sequence[Path], system: str, earlier: str) -> "Sample":
    """The question with all that stands before it.

    Args:
        question: what is asked now.
        images: shown with the question.
        video: one file, or frames in the order of time.
        system: instructions; empty for none.
        earlier: turns in OpenAI's chat format, as JSON or the path of a file of it; empty for none.

    Raises:
        DataError: a file is missing, the turns are none, or a video stands in a longer conversation.
    """
    from unsee.data.sample import Sample, Turn
    from unsee.data.video import SUFFIXES, frames_of

    shown, moving = [_image(path) for path in images], [_image(path) for path in video]
    if not (system or earlier) and len(shown) < 2:
        frames = tuple(moving)
        if len(video) == 1 and video[0].suffix.lower() in SUFFIXES:
            frames = frames_of(video[0], str(video[0]))
        return Sample("asked", "asked", question, "", "", image=next(iter(shown), None), video=frames)
    if moving:
        raise DataError("a video was given with a system prompt, earlier turns or two images: ask about it alone.")
    before = [Turn("system", (system,))] if system else []
    return Sample.of_turns([*before, *(_turns(earlier) if earlier else []), Turn("user", (*shown, question))])


def _turns(earlier: str) -> "list[Turn]":
    from unsee.data.messages import openai_turns

    try:
        text = earlier if earlier.lstrip().startswith("[") else Path(earlier).read_text(encoding="utf-8")
        messages = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"--earlier is {earlier!r:.80}, and no turns can be read from it: {error}. Expected a list of messages in "
            """OpenAI's chat format, as in '[{"role": "user", "content": "..."}]', or a file of one."""
        ) from error
    return openai_turns(messages, (), lambda name, field: _image(Path(str(name))), "--earlier")


def _image(path: Path) -> "ImageFile":
    from unsee.data.sample import ImageFile

    if not path.is_file():
        raise DataError(f"there is no image or video {str(path)!r}. Expected a file; check the path.")
    return ImageFile(str(path), path)
