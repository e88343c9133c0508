"""One image decoder behind every door: library, JSON lines, parquet and server see the same pixels of the same file.

What comes out is upright RGB of 8 bits a channel: turned as EXIF says, more than 8 bits scaled, transparency laid on
white, the first frame or page of several. Colour profiles are not applied, as the models' own processors apply none.
"""

import io
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np
from PIL import Image, ImageFile, features

from unsee.errors import ImageError

_HAS_HEIF = find_spec("pillow_heif") is not None
FORMATS: Final = (
    *("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"),
    *(("AVIF",) if features.check("avif") else ()),
    *(("HEIF",) if _HAS_HEIF else ()),
)
"""What is read, in Pillow's words. JPEG covers a phone's `.jpg` of several images, which Pillow calls MPO; HEIF its
`.heic`, where pillow-heif is installed."""
MOST_PIXELS: Final = 89_478_485
"""Of one image; Pillow warns of decompression bombs from here on."""
_READ = f"a file in one of {list(FORMATS)} with at most {MOST_PIXELS} pixels"
_HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_ORIENTATION = 0x0112
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# The switch that this guards is Pillow's own and global.
_DECODING = threading.Lock()
# What Pillow raises on damaged files, beside what it promises to.
_DAMAGED = (
    *(OSError, ValueError, SyntaxError, TypeError, LookupError, ArithmeticError, AttributeError, EOFError),
    *(MemoryError, RuntimeError, struct.error, zlib.error),
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),
)


@dataclass(frozen=True)
class Header:
    """What a file says of itself, before a pixel is decoded.

    Attributes:
        format: one of `FORMATS`, or MPO.
        width: in pixels, before it is turned upright.
        height: likewise.
    """

    format: str
    width: int
    height: int


def header(source: bytes | Path, id: str) -> Header:
    """Format and size of an image file; no pixel is decoded.

    Raises:
        ImageError: there is no file, it is no image in one of `FORMATS`, or it has more than `MOST_PIXELS` pixels.
    """
    try:
        with _opened(source) as image:
            return _checked(image, id)
    except ImageError:
        raise
    except _DAMAGED as error:
        _refuse(source, id, error)


def decode(source: bytes | Path, id: str) -> Image.Image:
    """The image as a model is shown it: RGB, 8 bits a channel, upright, on white.

    - 16-bit grey is divided by 257; 32-bit grey is taken for 8 or 16 bits by its largest value, floats for [0, 1] or
      [0, 255] likewise.
    - Of an animation, a phone's MPO or a TIFF of several pages the first image is taken.

    Raises:
        ImageError: as for `header`; or it is cut short or damaged, or its values have no range that is known.
    """
    try:
        with _opened(source) as image:
            _checked(image, id)
            # Decoded first: a PNG may have its orientation behind the pixels, and TIFF turns itself.
            with _whole_files_only():
                image.load()
            return _on_white(_eight_bits(_upright(image)))
    except ImageError:
        raise
    except _DAMAGED as error:
        _refuse(source, id, error)


@contextmanager
def _whole_files_only() -> Iterator[None]:
    """Pillow fills what a file lacks with grey where any library of the process (WeasyPrint does) has told it to."""
    with _DECODING:
        before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before


def _opened(source: bytes | Path) -> Image.Image:
    _readers()
    if isinstance(source, Path) and source.exists() and not (source.is_file() or source.is_dir()):
        raise OSError("it is a device or a pipe, which may never end; expected a file")
    return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)


@cache
def _readers() -> None:
    """Pillow loads most of its readers only when it is asked to, or when no format is named."""
    Image.init()
    if _HAS_HEIF:
        import pillow_heif

        pillow_heif.register_heif_opener()


def _checked(image: Image.Image, id: str) -> Header:
    if image.width * image.height > MOST_PIXELS:
        raise ImageError(
            f"image {id!r} is {image.width} x {image.height} pixels, expected at most {MOST_PIXELS} in all "
            "(DecompressionBomb). Make it smaller, or remove its row."
        )
    return Header(image.format or "", image.width, image.height)


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except (*_DAMAGED, Warning):
        # A broken tag says nothing about the pixels, which are sound.
        turn = None
    return image if turn is None else image.transpose(turn)


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return image
    values: Any = np.asarray(image, dtype=np.float64)
    least, most = values.min(), values.max()
    if not (np.isfinite(least) and np.isfinite(most)) or least < 0 or most > 65535:
        raise ValueError(f"grey values run from {least} to {most}, expected them in [0, 65535]")
    if image.mode.startswith("I;16"):
        scale = 1 / 257
    elif image.mode == "I":
        scale = 1.0 if most <= 255 else 1 / 257
    elif most > 255:
        raise ValueError(f"floats run to {most}, expected them in [0, 1] or [0, 255]")
    else:
        scale = 255.0 if most <= 1 else 1.0
    grey = np.rint(values * scale).astype(np.uint8)
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey[values == clear] = 255
    return Image.fromarray(grey)


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    seen = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")


def _refuse(source: bytes | Path, id: str, error: BaseException) -> NoReturn:
    advice = "Open it in a viewer, or remove its row."
    if not _HAS_HEIF and _is_heic(source):
        advice = "It is HEIC, which Pillow reads with another package: pip install 'unsee[heic]' (pillow-heif)."
    raise ImageError(
        f"cannot read image {id!r}: {type(error).__name__}: {error}. Expected {_READ}. {advice}"
    ) from error


def _is_heic(source: bytes | Path) -> bool:
    if isinstance(source, bytes):
        start = source[:12]
    elif source.is_file():
        with source.open("rb") as file:
            start = file.read(12)
    else:
        return False
    return start[4:8] == b"ftyp" and start[8:12] in _HEIC
