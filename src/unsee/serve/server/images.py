"""Images of clients: from data URLs only, checked before anything large is decoded, and handed on as plain PNG.

The library decodes them (`unsee.data.ImageFile`), so that the model is shown what it was shown when gates were fitted.
"""

import base64
import binascii
import io
from typing import final

from PIL import Image

from unsee.data.sample import ImageFile
from unsee.errors import ImageError
from unsee.serve.errors import RefusedError

MOST_PIXELS = 16_000_000
LONGEST_SIDE = 8192
SHORTEST_SIDE = 8
FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "BMP": "image/bmp"}
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")

UNREADABLE = (
    "An image cannot be used. Expected a data URL with a still PNG, JPEG, WebP or BMP in grey or RGB, 8 bits a "
    f"channel, sides of {SHORTEST_SIDE} to {LONGEST_SIDE} pixels and at most {MOST_PIXELS // 1_000_000} megapixels."
)
_UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombWarning, Image.DecompressionBombError)
NO_ADDRESS = "Images are not fetched from addresses. Send the image itself, as 'data:image/png;base64,...'."


@final
class UnusableImageError(RefusedError):
    """An image was refused; the text is always one of two, and never Pillow's."""

    def __init__(self, message: str = UNREADABLE) -> None:
        super().__init__(message, "image")


def plain_png(url: str) -> str:
    """A data URL of the image as it is shown to the model: RGB, PNG.

    Raises:
        UnusableImageError: an address, or nothing that can be shown.
    """
    head, comma, body = url.partition(",")
    if not head.lower().startswith("data:"):
        raise UnusableImageError(NO_ADDRESS)
    kind, _, encoding = head[5:].lower().partition(";")
    if not comma or encoding != "base64":
        raise UnusableImageError
    try:
        data = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnusableImageError from error
    _require_sound(data, kind)
    try:
        image = ImageFile("request", data).load()
    except (ImageError, MemoryError) as error:
        raise UnusableImageError from error
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def _require_sound(data: bytes, kind: str) -> None:
    """Look at the header only."""
    try:
        with Image.open(io.BytesIO(data), formats=tuple(FORMATS)) as image:
            width, height = image.size
            sound = (
                FORMATS[image.format or ""] == kind.replace("image/jpg", "image/jpeg")
                and image.mode in MODES
                and getattr(image, "n_frames", 1) == 1
                and min(width, height) >= SHORTEST_SIDE
                and max(width, height) <= LONGEST_SIDE
                and width * height <= MOST_PIXELS
            )
    except (*_UNREADABLE, KeyError) as error:
        raise UnusableImageError from error
    if not sound:
        raise UnusableImageError
