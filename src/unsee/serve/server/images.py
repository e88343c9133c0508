"""Images of clients: from data URLs only, checked before anything large is decoded, and handed on as plain PNG.

The library decodes them (`unsee.data.images`), so that the model is shown what it was shown when gates were fitted.
"""

import base64
import binascii
import io
from typing import final

from unsee.data.images import FORMATS, decode, header
from unsee.errors import ImageError
from unsee.serve.errors import RefusedError

MOST_PIXELS = 16_000_000
LONGEST_SIDE = 8192
SHORTEST_SIDE = 8
UNPACKED_PIXELS = 1_000_000

UNREADABLE = (
    f"An image cannot be used. Expected a data URL with "
    f"a file in one of {', '.join(FORMATS)}, "
    f"sides of {SHORTEST_SIDE} to {LONGEST_SIDE} pixels and at most {MOST_PIXELS // 1_000_000} megapixels."
)
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
    # The file says what it is; the announced kind is often another, as of photos that were renamed.
    if not comma or not head.lower().startswith("data:image/") or not head.lower().endswith(";base64"):
        raise UnusableImageError
    try:
        data = base64.b64decode(body, validate=True)
        found = header(data, "request")
        if (
            min(found.width, found.height) < SHORTEST_SIDE
            or max(found.width, found.height) > LONGEST_SIDE
            or found.width * found.height > MOST_PIXELS
        ):
            raise UnusableImageError
        image = decode(data, "request")
    except (binascii.Error, ImageError) as error:
        raise UnusableImageError from error
    stream = io.BytesIO()
    # It goes to the same machine: what is small is sooner sent than packed.
    image.save(stream, "PNG", compress_level=int(found.width * found.height > UNPACKED_PIXELS))
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
