"""One decoder for every door: what people's files hold, and what is refused before it costs anything."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.ImageFile
import pytest
from PIL import Image, features

from unsee.data.images import MOST_PIXELS, decode, header
from unsee.errors import ImageError


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def corner(turn: int) -> tuple[Image.Image, bytes]:
    """An image with a red top left quarter on blue, and its orientation tag."""
    image = Image.new("RGB", (32, 16), "blue")
    image.paste("red", (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = turn
    return image, exif.tobytes()


# Where the stored top left quarter is seen, by the EXIF standard: (right, low).
SEEN = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("turn", list(SEEN))
def test_photos_stand_upright(form: str, turn: int) -> None:
    image, exif = corner(turn)
    shown = decode(saved(image, form, exif=exif), "photo")
    assert shown.size == ((32, 16) if turn < 5 else (16, 32))
    right, low = SEEN[turn]
    at = (shown.width * (1 + 2 * right) // 4, shown.height * (1 + 2 * low) // 4)
    red, _, blue = np.asarray(shown)[at[1], at[0]].tolist()
    assert red > 200 > 60 > blue


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("exif", [b"Exif\x00\x00junk", b"Exif\x00\x00II*\x00\xff\xff\xff\xff", b"Exif\x00\x00", b"MM"])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_broken_tag_leaves_the_pixels(form: str, exif: bytes) -> None:
    assert decode(saved(Image.new("RGB", (9, 5), "red"), form, exif=exif), "photo").size == (9, 5)


def sixteen_bit_png(kind: int, samples: list[int]) -> bytes:
    """A PNG of one pixel with 16 bits a channel, by hand."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", 1, 1, 16, kind, 0, 0, 0)
    body = zlib.compress(b"\x00" + struct.pack(f">{len(samples)}H", *samples))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (sixteen_bit_png(0, [0x4000]), (64, 64, 64)),
        (sixteen_bit_png(0, [0xFFFF]), (255, 255, 255)),
        (sixteen_bit_png(2, [0x4000, 0x8000, 0xFFFF]), (64, 128, 255)),
        (sixteen_bit_png(4, [0x4000, 0]), (255, 255, 255)),
        (saved(Image.fromarray(np.full((3, 2), 0x4000, np.uint16)), "TIFF"), (64, 64, 64)),
        (saved(Image.fromarray(np.full((3, 2), 0x4000, np.int32)), "TIFF"), (64, 64, 64)),
        (saved(Image.fromarray(np.full((3, 2), 200, np.int32)), "TIFF"), (200, 200, 200)),
        (saved(Image.fromarray(np.full((3, 2), 0.25, np.float32)), "TIFF"), (64, 64, 64)),
        (saved(Image.fromarray(np.full((3, 2), 64, np.float32)), "TIFF"), (64, 64, 64)),
    ],
)
def test_more_than_eight_bits_are_scaled(data: bytes, seen: tuple[int, int, int]) -> None:
    shown = decode(data, "deep")
    assert (shown.mode, shown.getpixel((0, 0))) == ("RGB", seen)


@pytest.mark.parametrize("value", [np.nan, np.inf, -3.0, 70_000.0])
def test_values_without_a_range_are_refused(value: float) -> None:
    with pytest.raises(ImageError):
        decode(saved(Image.fromarray(np.full((2, 2), value, np.float32)), "TIFF"), "deep")


def palette() -> Image.Image:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 250, 10, 10])
    return image


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (saved(Image.new("RGBA", (8, 8), (200, 10, 10, 0)), "PNG"), (255, 255, 255)),
        (saved(Image.new("RGBA", (8, 8), (0, 0, 0, 128)), "PNG"), (127, 127, 127)),
        (saved(Image.new("LA", (8, 8), (10, 0)), "PNG"), (255, 255, 255)),
        (saved(Image.new("RGB", (8, 8), (1, 2, 3)), "PNG", transparency=(1, 2, 3)), (255, 255, 255)),
        (saved(palette(), "PNG"), (250, 10, 10)),
        (saved(palette(), "PNG", transparency=1), (255, 255, 255)),
        (saved(palette(), "GIF", transparency=1), (255, 255, 255)),
        (saved(Image.new("1", (8, 8), 1), "PNG"), (255, 255, 255)),
        (saved(Image.new("CMYK", (8, 8), (0, 0, 0, 255)), "JPEG"), (0, 0, 0)),
        (saved(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "TIFF"), (255, 255, 255)),
    ],
)
def test_colours_and_transparency(data: bytes, seen: tuple[int, int, int]) -> None:
    shown = decode(data, "colours")
    assert shown.mode == "RGB"
    assert np.abs(np.asarray(shown)[0, 0].astype(int) - seen).max() <= 2


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF", "MPO"])
def test_the_first_frame_is_taken(form: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    data = saved(frames[0], form, save_all=True, append_images=frames[1:])
    red, _, blue = np.asarray(decode(data, "moving"))[8, 8].tolist()
    assert red > 200 > 60 > blue


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif() -> None:
    assert decode(saved(Image.new("RGB", (16, 8), "red"), "AVIF"), "a").size == (16, 8)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_file_cut_short_is_refused(form: str, share: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    data = saved(noise, form)
    with pytest.raises(ImageError):
        decode(data[: int(len(data) * share)], "short")


def test_a_file_cut_short_is_refused_whatever_another_library_has_told_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PIL.ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    data = saved(noise, "PNG")
    with pytest.raises(ImageError):
        decode(data[: len(data) // 2], "short")
    assert PIL.ImageFile.LOAD_TRUNCATED_IMAGES, "it is theirs again"


def test_a_bomb_is_refused_by_its_header() -> None:
    side = int(MOST_PIXELS**0.5) + 1
    data = saved(Image.new("1", (side, side)), "PNG")
    for read in (header, decode):
        with pytest.raises(ImageError, match=f"{side}|DecompressionBomb"):
            read(data, "bomb")


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_heic_says_what_to_install(brand: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unsee.data.images._HAS_HEIF", False)
    file = tmp_path / "IMG_0001.HEIC"
    file.write_bytes(b"\x00\x00\x00\x18ftyp" + brand + bytes(40))
    for source in (file, file.read_bytes()):
        with pytest.raises(ImageError, match="pillow-heif"):
            decode(source, "phone")


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\x00" * 64])
def test_what_is_no_image(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(ImageError):
        decode(data, "none")
    with pytest.raises(ImageError):
        header(tmp_path, "a folder")
    with pytest.raises(ImageError):
        header(tmp_path / "a\x00b", "no name")
