"""A photograph and the boxes on it are turned by the same answer, wherever the file keeps it."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from convfe_core.base.file_sets import UploadedFiles
from convfe_core.datasets.read_dataset import read_dataset
from convfe_core.photos.image_header import look
from convfe_core.photos.photo import read_photo
from tests.photos.test_photo import STORED
from tests.support.builders import RED, corners, encode

UPRIGHT = (16, 24)


def stored(orientation: int) -> Image.Image:
    """The upright corners as a camera keeps them under an orientation."""
    return Image.fromarray(np.ascontiguousarray(STORED[orientation](np.asarray(corners()))))


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(orientation: int, extra: bytes, after: bool) -> bytes:
    """A PNG with chunks of our own before or after its pixels."""
    data = encode(stored(orientation))
    place = data.index(b"IEND" if after else b"IDAT") - 4
    return data[:place] + extra + data[place:]


def raw_profile(orientation: int) -> str:
    """EXIF as ImageMagick writes it into a PNG's text."""
    block = exif(orientation)
    return f"\nexif\n{len(block):8d}\n" + block.hex()


def itxt(orientation: int) -> bytes:
    return chunk(b"iTXt", b"Raw profile type exif\0\0\0\0\0" + raw_profile(orientation).encode())


def ztxt(orientation: int) -> bytes:
    return chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw_profile(orientation).encode()))


def xmp(orientation: int) -> bytes:
    text = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'
    return chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + text.encode())


def exif_chunk(orientation: int) -> bytes:
    return chunk(b"eXIf", exif(orientation)[6:])


def agrees(data: bytes, tolerance: int = 0) -> None:
    """The photograph is upright, and its header says so."""
    photo, header = read_photo(data, "a"), look(io.BytesIO(data), "a")
    assert header.upright == photo.pixels.shape[:2] == UPRIGHT
    np.testing.assert_allclose(photo.pixels.astype(int), np.asarray(corners()), atol=tolerance)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("make", [exif_chunk, itxt, ztxt, xmp])
@pytest.mark.parametrize("after", [False, True])
def test_a_png_is_turned_by_its_exif_before_or_after_its_pixels(
    orientation: int, make: Callable[[int], bytes], after: bool
) -> None:
    agrees(png_with(orientation, make(orientation), after))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "MPO", "TIFF"])
def test_every_other_format_is_turned_by_its_exif(orientation: int, kind: str) -> None:
    options = {
        "JPEG": {"quality": 100, "subsampling": 0},
        "MPO": {"quality": 100, "subsampling": 0, "save_all": True, "append_images": [corners()]},
        "WEBP": {"lossless": True},
        "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    }
    agrees(encode(stored(orientation), kind, exif=exif(orientation), **options.get(kind, {})), 6)


def test_xmp_turns_a_jpeg_without_exif() -> None:
    packet = b'<rdf:Description tiff:Orientation="6"/>'
    agrees(encode(stored(6), "JPEG", xmp=packet, quality=100, subsampling=0), 6)


@pytest.mark.parametrize("body", [b"", b"garbage", b"II*\0\xff\xff\xff\xff", exif(99)[6:]])
@pytest.mark.parametrize("after", [False, True])
def test_exif_that_makes_no_sense_turns_nothing(body: bytes, after: bool) -> None:
    data = png_with(1, chunk(b"eXIf", body), after)
    assert look(io.BytesIO(data), "a").orientation == 1
    assert read_photo(data, "a").pixels.shape[:2] == UPRIGHT


def test_exif_after_the_pixels_is_found_without_reading_them() -> None:
    class Counted(io.BytesIO):
        taken = 0

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            Counted.taken += len(data)
            return data

    noise = np.random.default_rng(0).integers(0, 255, (900, 900, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise))
    place = data.index(b"IEND") - 4
    file = Counted(data[:place] + exif_chunk(6) + data[place:])
    assert look(file, "a").orientation == 6
    assert Counted.taken < 300_000 < len(data)


def test_the_first_frame_of_an_animated_png_is_turned() -> None:
    data = encode(
        stored(6), save_all=True, append_images=[stored(6).rotate(180)], exif=exif(6), pnginfo=PngImagePlugin.PngInfo()
    )
    photo = read_photo(data, "a.png")
    assert photo.pixels.shape[:2] == UPRIGHT
    assert tuple(photo.pixels[0, 0]) == RED
    assert photo.note == "the first of its frames is shown"


@pytest.mark.parametrize("after", [False, True])
def test_boxes_drawn_on_the_stored_picture_are_turned_with_it(after: bool) -> None:
    voc = (
        "<annotation><filename>a.png</filename><size><width>16</width><height>24</height></size>"
        "<object><name>red</name><bndbox><xmin>0</xmin><ymin>12</ymin><xmax>8</xmax><ymax>24</ymax></bndbox></object>"
        "</annotation>"
    )
    data = read_dataset(UploadedFiles([("a.png", png_with(6, exif_chunk(6), after)), ("a.xml", voc.encode())]))
    (image,) = data.images
    assert (image.height, image.width) == UPRIGHT
    photo = read_photo(png_with(6, exif_chunk(6), after), "a.png")
    left, top, right, bottom = image.boxes[0].astype(int)
    inside = photo.pixels[top:bottom, left:right].reshape(-1, 3)
    assert len(inside) == 8 * 12
    assert (inside == RED).all()


PHONE_PHOTO = (
    "c-muNV30{GsVvAy%}izhg51nBLl8SRGck>Uf$>CcYDppk1Sn>t<P<^K3<a6VB@Af5Br_);Y>0~k0}}%yh{gB@LIc5RpcoJ^ZHJ4f0I@}8W?mYY"
    "2a**9a#F#{fNC<zk_{P<1Q|g}Tq`oc%J~X1OL7^YDjC@`3yKPW>}Qz;$@xIK45-(ckr^a30jx;w1H+%cKYlPU@G~a>bx1fc@-Y7Y4^qGkQo#&D"
    "a=Vxu5`mIhPK=CbG7A(MS*N{vvTWxLjtm0@pb#^NU{Fi~Dra+HJXn076KIKWa(+%xUUE(aP?VQ}tpO+`l384k3iYl76l)~sB!XOK0C7B64Ct8u"
    "AE1E%3k-pR%!*79hna(e14waZ7Uh=!-NPW6S&$2h6h;O{wnipq)|NIPM=G-@H4Q4kmz+|Z42}kn9p7_P5<&5GT!V2v%MVAx8T;q||NnQY{r?}0"
    "I*X6IFMg}U`F-(Z^EX-QB|GapdHby!onvfQ)UoR9WZ-x&`fb+1&(qhg|K_T8n1N}{!5Pe%(`9;IPCOx>c=O<P-3>RQms%e-javU-HE8uc>qXn{"
    "?WjI2zx1TnZMElfI2;yCS19gjj9;XC*!Y6^8iPLG`m^O1*WCE{m+5a(XzR`Uf4!G3`_cIHpWw{8iU-Ro`@a`Wzw~QiiT}D2yJzH=EipNJr9XK7"
    "MAmD!>P52tCNVF+Sv2?h0iajdAW6a3mq822<6vN96avK-C`KS5002_3!!-"
)
"""A HEIC picture of 64 x 48 as phones keep it: stored on its side, with a property and an EXIF tag that say so. Nothing
that the tests install writes HEIC, so pillow-heif wrote this one."""


def test_a_phones_heic_is_turned_once() -> None:
    data = zlib.decompress(base64.b85decode(PHONE_PHOTO))
    photo, header = read_photo(data, "IMG_0001.HEIC"), look(io.BytesIO(data), "IMG_0001.HEIC")
    assert header.upright == photo.pixels.shape[:2] == (48, 64)
    np.testing.assert_allclose(photo.pixels[5, 5].astype(int), (220, 30, 30), atol=8)
    np.testing.assert_allclose(photo.pixels[40, 5].astype(int), (20, 20, 240), atol=8)
    np.testing.assert_allclose(photo.pixels[5, 60].astype(int), (30, 200, 60), atol=8)
