"""Video files as frames: sampled as Qwen's own processors do, the only families that take videos."""

import io
from pathlib import Path
from typing import Any, Final

import numpy as np

from unsee.data.sample import ImageFile
from unsee.errors import DataError, OptionError

SUFFIXES: Final = (".mp4", ".webm", ".mov", ".mkv", ".avi", ".m4v")
FRAMES_PER_SECOND: Final = 2.0
"""At which the released pipelines sample a video (qwen-vl-utils, `FPS`)."""
FEWEST, MOST = 4, 768


def sampled(total: int, rate: float) -> list[int]:
    """Which of `total` frames at `rate` a second: two a second, 4 to 768 of them, the first and last included.

    Source: `sample_frames` of Qwen3-VL's video processor in transformers 5.23.
    """
    count = min(max(int(total / rate * FRAMES_PER_SECOND), FEWEST), MOST, total)
    return np.linspace(0, total - 1, count).round().astype(int).tolist()


def frames_of(source: bytes | Path, id: str) -> tuple[ImageFile, ...]:
    """The sampled frames of a video file, in the order of time; they are read again only as images.

    Raises:
        OptionError: PyAV is not installed.
        DataError: the file cannot be read, or holds no video.
    """
    try:
        import av
        from av.error import FFmpegError
    except ImportError as error:
        raise OptionError(f"{id!r} is a video file, which PyAV reads: pip install 'unsee[video]'.") from error
    try:
        opened = io.BytesIO(source) if isinstance(source, bytes) else str(source)
        with av.open(opened) as file:
            stream = file.streams.video[0]
            rate = float(stream.average_rate or 0)
            # Announced counts are often missing or wrong, and a file need not have an index: it is gone through once
            # for its length and once for its frames.
            total = sum(1 for _ in file.decode(stream))
            wanted = set(sampled(total, rate)) if total and rate > 0 else set()
            file.seek(0)
            found = tuple(
                ImageFile(f"{id}#{number}", _png(frame))
                for number, frame in enumerate(file.decode(stream))
                if number in wanted
            )
    except (FFmpegError, IndexError, OSError, ValueError) as error:
        raise DataError(
            f"cannot read the video {id!r}: {type(error).__name__}: {error}. Expected a file that PyAV decodes, such "
            "as mp4 or webm; open it in a player, or remove its row."
        ) from error
    if not found:
        raise DataError(f"the video {id!r} holds no frame. Open it in a player, or remove its row.")
    return found


def _png(frame: Any) -> bytes:
    stream = io.BytesIO()
    # A phone films lying on its side and says so: turned as players turn it.
    frame.to_image().rotate(frame.rotation, expand=True).save(stream, "PNG", compress_level=1)
    return stream.getvalue()
