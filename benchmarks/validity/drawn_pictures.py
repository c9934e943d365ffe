"""Pictures with boxes that are drawn here, with a difficulty that is known."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

HEIGHT, WIDTH = 240, 320
Place = tuple[float, float, float]
"""Centre and radius in pixels."""


def cells(count: int, seed: int = 0) -> dict[str, bytes]:
    """Many small round objects with a dark grain inside, among blots of the same colour and size that have none.

    What tells them is texture on the scale of a few pixels; shape and place tell nothing. As YOLO files.
    """
    return _pictures(count, seed, _cells)


def stars(count: int, seed: int = 0) -> dict[str, bytes]:
    """One to three large five-pointed stars, among discs and squares of the same texture and size.

    What tells them is their outline; colour and texture tell nothing. As YOLO files.
    """
    return _pictures(count, seed, _stars)


def _pictures(
    count: int, seed: int, draw: Callable[[np.random.Generator], tuple[Image.Image, list[Place]]]
) -> dict[str, bytes]:
    files = {}
    for number in range(count):
        picture, objects = draw(np.random.default_rng([seed, number]))
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        files[f"{number:03}.png"] = buffer.getvalue()
        lines = (
            f"0 {x / WIDTH:.6f} {y / HEIGHT:.6f} {2 * radius / WIDTH:.6f} {2 * radius / HEIGHT:.6f}"
            for x, y, radius in objects
        )
        files[f"{number:03}.txt"] = "\n".join(lines).encode()
    return files


def _cells(random: np.random.Generator) -> tuple[Image.Image, list[Place]]:
    ground = _cloud(random, 40) * 18 + random.normal(0, 4, (HEIGHT, WIDTH))
    pixels = np.stack([225 + ground, 200 + ground, 210 + ground], axis=-1)
    places = _apart(random, int(random.integers(14, 26)), 13, 22)
    objects = []
    for k, place in enumerate(places):
        disc = _soft(place, _disc)[..., None]
        colour = np.array([205, 120, 135]) + random.normal(0, 8, 3)
        pixels = pixels * (1 - disc) + colour * disc
        if k % 2 == 0:
            objects.append(place)
            grain = (random.normal(size=(HEIGHT, WIDTH)) > 0.9)[..., None] * disc
            pixels = pixels * (1 - 0.55 * grain) + np.array([70, 40, 110]) * 0.55 * grain
    return _image(pixels), objects


def _stars(random: np.random.Generator) -> tuple[Image.Image, list[Place]]:
    pixels = np.stack([120 + 45 * _cloud(random, side) for side in (12, 14, 16)], axis=-1)
    pixels += random.normal(0, 8, pixels.shape)
    places = _apart(random, int(random.integers(3, 7)), 28, 48)
    starred = int(random.integers(1, 4))
    for k, place in enumerate(places):
        outline = _star if k < starred else _disc if random.random() < 0.5 else _square
        shape = _soft(place, outline)[..., None]
        stripes = np.sin((np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)) + random.uniform(0, 20)) / 3.0)[..., None]
        pixels = pixels * (1 - shape) + (random.uniform(90, 200, 3) + 35 * stripes) * shape
    return _image(pixels), places[:starred]


def _star(pen: ImageDraw.ImageDraw, box: tuple[float, float, float, float]) -> None:
    x, y, radius = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, (box[2] - box[0]) / 2
    turns = np.arange(10) * np.pi / 5 - np.pi / 2
    reach = np.where(np.arange(10) % 2, 0.42, 1.0) * radius
    pen.polygon(
        [(float(x + r * np.cos(turn)), float(y + r * np.sin(turn))) for r, turn in zip(reach, turns, strict=True)],
        fill=255,
    )


def _disc(pen: ImageDraw.ImageDraw, box: tuple[float, float, float, float]) -> None:
    pen.ellipse(box, fill=255)


def _square(pen: ImageDraw.ImageDraw, box: tuple[float, float, float, float]) -> None:
    inset = 0.12 * (box[2] - box[0])
    pen.rectangle((box[0] + inset, box[1] + inset, box[2] - inset, box[3] - inset), fill=255)


def _soft(
    place: Place, draw: Callable[[ImageDraw.ImageDraw, tuple[float, float, float, float]], None]
) -> NDArray[np.float64]:
    """(H, W) in 0..1, a shape with an edge of about a pixel."""
    x, y, radius = place
    mask = Image.new("L", (WIDTH, HEIGHT))
    draw(ImageDraw.Draw(mask), (x - radius, y - radius, x + radius, y + radius))
    return np.asarray(mask.filter(ImageFilter.GaussianBlur(0.8)), np.float64) / 255


def _cloud(random: np.random.Generator, side: int) -> NDArray[np.float64]:
    """(H, W) smooth noise about 0, in patches of so many pixels."""
    small = random.normal(size=(HEIGHT // side + 2, WIDTH // side + 2)).astype(np.float32)
    return np.asarray(Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), np.float64)


def _apart(random: np.random.Generator, count: int, least: float, most: float) -> list[Place]:
    """Places that hardly overlap, as many of the count as fit."""
    found: list[Place] = []
    for _ in range(40 * count):
        radius = float(random.uniform(least, most))
        x, y = (float(random.uniform(radius, side - radius)) for side in (WIDTH, HEIGHT))
        if all(np.hypot(x - other[0], y - other[1]) > 0.9 * (radius + other[2]) for other in found):
            found.append((x, y, radius))
        if len(found) == count:
            break
    return found


def _image(pixels: NDArray[np.float64]) -> Image.Image:
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
