"""Encoded images that tests make by hand."""

import io
import struct
import zlib

from PIL import Image


def png(tag: str) -> bytes:
    """An image of its own for each tag."""
    stream = io.BytesIO()
    Image.frombytes("L", (len(tag), 1), tag.encode()).save(stream, "PNG")
    return stream.getvalue()


def encoded(kind: str = "PNG", size: tuple[int, int] = (3, 2), colour: str = "red") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, kind)
    return stream.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that announces a size; its pixels are never reached."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
