"""Files that people bring: what each is called, its bytes, and what must be said of it, or nothing where it is fine."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tests.support.builders import noise, png

SIDE = 48


@dataclass(frozen=True)
class Case:
    """One file.

    Attributes
    ----------
    says : words of the sentence that it must get, None when it must simply be shown
    """

    name: str
    data: bytes
    says: str | None = None


def save(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(seed: int) -> Image.Image:
    return Image.fromarray(noise(SIDE, SIDE + 16, seed))


def bomb() -> bytes:
    """A PNG of 60,000 x 60,000 pixels in its header, and a few bytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def animation() -> bytes:
    return save(picture(1), "GIF", save_all=True, append_images=[picture(2), picture(3)])


def sixteen_bit() -> bytes:
    levels = np.linspace(0, 65535, SIDE * SIDE).reshape(SIDE, SIDE).astype(np.uint16)
    return save(Image.fromarray(levels), "PNG")


def clear_palette() -> bytes:
    return save(picture(4).quantize(16), "PNG", transparency=3)


def corrupt_exif() -> bytes:
    return save(picture(5), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff" + bytes(range(200)))


CASES = (
    Case("truncated.png", png(noise(SIDE, SIDE, 6))[:-400], "damaged or cut short"),
    Case("truncated.jpg", save(picture(7), "JPEG")[:200], "damaged"),
    Case("empty.png", b"", "empty file"),
    Case("text.jpg", b"Dear sir or madam,\n" * 40, "got text"),
    Case("page.png", b"<!DOCTYPE html><html><body>404</body></html>", "got a web page"),
    Case("archive.webp", b"PK\x03\x04" + bytes(400), "got a ZIP archive"),
    Case("bomb.png", bomb(), "megapixels"),
    Case("dot.png", png(noise(1, 1)), "at least 8 pixels a side"),
    Case("strip.png", png(noise(20, 20_000)), "ratio"),
    Case("really-a-png.jpg", png(noise(SIDE, SIDE, 8))),
    Case("animation.gif", animation()),
    Case("sixteen-bit.png", sixteen_bit()),
    Case("cmyk.jpg", save(picture(9).convert("CMYK"), "JPEG")),
    Case("clear-palette.png", clear_palette()),
    Case("corrupt-exif.jpg", corrupt_exif()),
    Case("emoji 🦊 ü.png", png(noise(SIDE, SIDE, 10))),
    Case("new\nline.png", png(noise(SIDE, SIDE, 11))),
    Case("<img src=x onerror=alert(1)>.png", png(noise(SIDE, SIDE, 12))),
    Case("bad <b>&amp; \n[x](y).png", b"no picture", "expected a JPEG"),
    Case("=2+3.png", png(noise(SIDE, SIDE, 13))),
    Case("long-" + "x" * 200 + ".png", png(noise(SIDE, SIDE, 14))),
)
"""No two of them hold the same bytes."""

ODD_NAMES = (
    *(case.name for case in CASES),
    "../../etc/passwd.png",
    "C:\\photos\\cat.png",
    "tab\there\x00null.png",
    "\u202egnp.exe.png",
    "x" * 300 + ".png",
    "",
    ".",
)
