"""One photograph's row as a picture: input | max | mean | pca for every backbone, to put into a report."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from convfe_core.base.arrays import PixelArray
from convfe_core.drawing.colour_maps import BOX_COLOUR, colour_table, colour_values
from convfe_core.drawing.colour_scales import ScaleKey, scale_limits
from convfe_core.maps.feature_maps import PICTURES, REDUCTIONS, FeatureMaps, Limits
from convfe_core.photos.photo import Photo

PANEL = 320
"""Longest side, in pixels, of a photograph in a row."""

_PAPER, _INK, _QUIET, _RULE, _NO_CELL = "#ffffff", "#1b1f24", "#5c6570", "#d5dae0", (236, 239, 242)
_NARROWEST = 150  # a panel's captions need this much
_LINE = 1.35  # height of a line of text, in heights of its letters

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def row_png(
    photo: Photo,
    maps: Sequence[FeatureMaps],
    *,
    reductions: Sequence[str] = REDUCTIONS,
    colour_map: str = "Viridis",
    limits: Mapping[ScaleKey, Limits] | None = None,
    panel: int = PANEL,
    boxes: Iterable[Sequence[float]] = (),
) -> bytes:
    """Draw a photograph beside its maps.

    Every cell is drawn where it lies on the photograph; what no cell covers stays light grey, and a cell
    whose value is not finite is a darker grey.

    Parameters
    ----------
    photo : the photograph
    maps : its maps, one entry for each backbone, in the order of the columns
    reductions : which of `convfe_core.maps.feature_maps.PICTURES` to draw; all maps must have them
    colour_map : a key of :data:`convfe_core.drawing.colour_maps.COLOUR_MAPS`
    limits : the ends of the colour scales as :func:`convfe_core.drawing.colour_scales.scale_limits` gives them; None
        for each map its own
    panel : longest side of the photograph in the picture, in pixels; letters grow with it
    boxes : (x_min, y_min, x_max, y_max) in pixels of the photograph, drawn on every panel

    Returns
    -------
    a PNG file
    """
    foreign = [one.image for one in maps if one.digest != photo.digest]
    if foreign:
        raise ValueError(f"Expected maps of {photo.name}. Received: maps of {', '.join(foreign)}")
    if not reductions or not set(reductions) <= set(PICTURES):
        raise ValueError(f"Expected reductions among {', '.join(PICTURES)}. Received: {reductions}")
    if limits is None:
        limits = scale_limits(maps, "map")
    sheet = _Sheet.laid_out(photo, len(maps), len(reductions), panel)
    picture = Image.new("RGB", sheet.size, _PAPER)
    pen = ImageDraw.Draw(picture)

    title = _shortened(photo.name, sheet.title, sheet.size[0] - 2 * sheet.margin)
    pen.text((sheet.margin, sheet.margin), title, _INK, sheet.title, anchor="la")
    _head(pen, sheet, sheet.margin, 1, "input", f"{photo.width} x {photo.height} pixels")
    picture.paste(Image.fromarray(photo.resized(*sheet.panel, Image.Resampling.BICUBIC)), sheet.corner(0))

    column = 1
    for one in maps:
        left = sheet.box_left(column)
        details = f"{one.weights} · {one.max.shape[1]} x {one.max.shape[0]} cells · {one.tap}"
        _head(pen, sheet, left, len(reductions), one.label, details)
        for reduction in reductions:
            colours = one.picture(reduction)
            if reduction in one.scalars:
                ends = limits[one.digest, one.label, reduction]
                colours = colour_values(colours, ends, colour_map)
                _scale(picture, pen, sheet, column, ends, colour_map)
            picture.paste(Image.fromarray(_on_panel(colours, one, sheet.panel)), sheet.corner(column))
            pen.text((sheet.middle(column), sheet.below), reduction, _INK, sheet.small, anchor="ma")
            column += 1
    for box in boxes:
        for place in range(column):
            _box(pen, sheet, place, box, photo)

    return _png(np.asarray(picture))


def cell_borders(maps: FeatureMaps) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where one cell ends and the next begins, in pixels of the photograph, cut to the photograph.

    Returns
    -------
    (h + 1,) from the top down and (w + 1,) from left to right
    """
    frame, grid = maps.frame, maps.grid
    axes = (
        (grid.rows, grid.stride_y, grid.offset_y, frame.image_height, frame.content_height),
        (grid.columns, grid.stride_x, grid.offset_x, frame.image_width, frame.content_width),
    )
    vertical, horizontal = (
        np.clip((offset + (np.arange(cells + 1) - 0.5) * stride) * image / content, 0.0, image)
        for cells, stride, offset, image, content in axes
    )
    return vertical, horizontal


def _png(pixels: PixelArray) -> bytes:
    """A PNG file of (H, W, 3) pixels, in half the time that Pillow takes and 4 % larger.

    Pillow tries five filters on each line of pixels. The one that takes the line above away does well everywhere here:
    maps repeat lines, and photographs are smooth.
    """
    import imagecodecs

    return bytes(imagecodecs.png_encode(pixels, level=1, filter=imagecodecs.PNG.FILTER.UP))


@cache
def _font(size: float) -> _Font:
    return ImageFont.load_default(size)


@dataclass(frozen=True)
class _Sheet:
    """Where everything goes, in pixels of the picture."""

    size: tuple[int, int]
    panel: tuple[int, int]
    box_width: int
    margin: int
    gap: int
    group_gap: int
    groups: tuple[int, int]
    panel_top: int
    head_top: int
    bar: int
    title: _Font
    label: _Font
    small: _Font

    @classmethod
    def laid_out(cls, photo: Photo, backbones: int, reductions: int, panel: int) -> _Sheet:
        unit = panel / PANEL
        margin, gap, group_gap = round(20 * unit), round(10 * unit), round(28 * unit)
        title, label, small = (_font(points * unit) for points in (19, 16, 12))
        scale = panel / max(photo.height, photo.width)
        width, height = (max(1, round(side * scale)) for side in (photo.width, photo.height))
        box = max(width, round(_NARROWEST * unit))
        head_top = margin + round((19 * _LINE + 14) * unit)
        panel_top = head_top + round((16 * _LINE + 12 * _LINE + 14) * unit)
        bar = round(8 * unit)
        group = reductions * box + (reductions - 1) * gap
        return cls(
            size=(
                2 * margin + box + backbones * (group_gap + group),
                panel_top + height + gap + bar + round(12 * _LINE * unit) + margin,
            ),
            panel=(width, height),
            box_width=box,
            margin=margin,
            gap=gap,
            group_gap=group_gap,
            groups=(group, reductions),
            panel_top=panel_top,
            head_top=head_top,
            bar=bar,
            title=title,
            label=label,
            small=small,
        )

    def box_left(self, column: int) -> int:
        """Left side of a panel's box; column 0 is the photograph."""
        if column == 0:
            return self.margin
        group_width, members = self.groups
        group, place = divmod(column - 1, members)
        first = self.margin + self.box_width + self.group_gap
        return first + group * (group_width + self.group_gap) + place * (self.box_width + self.gap)

    def middle(self, column: int) -> float:
        """Half way across a panel's box."""
        return self.box_left(column) + (self.box_width - 1) / 2

    @property
    def below(self) -> int:
        """Top of the words below the panels and their colour scales."""
        return self.panel_top + self.panel[1] + self.gap + self.bar + max(2, self.gap // 2)

    def corner(self, column: int) -> tuple[int, int]:
        """Top left corner of a panel, centred in its box."""
        return self.box_left(column) + (self.box_width - self.panel[0]) // 2, self.panel_top


def _head(pen: ImageDraw.ImageDraw, sheet: _Sheet, left: int, boxes: int, label: str, details: str) -> None:
    width = boxes * sheet.box_width + (boxes - 1) * sheet.gap
    below = sheet.panel_top - sheet.head_top
    pen.text((left, sheet.head_top), _shortened(label, sheet.label, width), _INK, sheet.label, anchor="la")
    text = _shortened(details, sheet.small, width)
    pen.text((left, sheet.head_top + round(below * 0.42)), text, _QUIET, sheet.small, anchor="la")
    rule = sheet.panel_top - max(2, sheet.gap // 2)
    pen.line((left, rule, left + width - 1, rule), _RULE, max(1, sheet.bar // 8))


def _on_panel(colours: PixelArray, maps: FeatureMaps, panel: tuple[int, int]) -> PixelArray:
    """Enlarge a map without smoothing: every pixel takes the cell it lies in.

    Parameters
    ----------
    colours : (h, w, 3), one colour a cell
    panel : (width, height) of the photograph in the picture

    Returns
    -------
    (height, width, 3) uint8
    """
    vertical, horizontal = cell_borders(maps)
    rows = _cells_of_pixels(vertical, panel[1], maps.frame.image_height)
    columns = _cells_of_pixels(horizontal, panel[0], maps.frame.image_width)
    framed = np.pad(colours, ((0, 1), (0, 1), (0, 0)))
    framed[-1, :] = framed[:, -1] = _NO_CELL
    return framed[:, columns][rows]  # whole rows are copied then; both at once take ten times as long


def _cells_of_pixels(borders: NDArray[np.float64], pixels: int, image: int) -> NDArray[np.intp]:
    """(pixels,) index of the cell that holds each pixel's centre; -1 outside all of them."""
    centres = (np.arange(pixels) + 0.5) * image / pixels
    cells = np.searchsorted(borders, centres, side="right") - 1
    return np.where(cells < len(borders) - 1, cells, -1)


def _scale(
    picture: Image.Image,
    pen: ImageDraw.ImageDraw,
    sheet: _Sheet,
    column: int,
    ends: Limits,
    colour_map: str,
) -> None:
    """Draw the colour scale below a panel, its lowest value on the left and its highest on the right."""
    left, top = sheet.box_left(column), sheet.panel_top + sheet.panel[1] + sheet.gap
    ramp = Image.fromarray(colour_table(colour_map)[None, :, :])
    picture.paste(ramp.resize((sheet.box_width, sheet.bar), Image.Resampling.BILINEAR), (left, top))
    right = left + sheet.box_width - 1
    pen.text((left, sheet.below), f"{ends[0]:.3g}", _QUIET, sheet.small, anchor="la")
    pen.text((right, sheet.below), f"{ends[1]:.3g}", _QUIET, sheet.small, anchor="ra")


def _box(pen: ImageDraw.ImageDraw, sheet: _Sheet, column: int, box: Sequence[float], photo: Photo) -> None:
    """Draw the outline of a box on a panel, dark around bright so that it shows on every colour."""
    left, top = sheet.corner(column)
    across, down = sheet.panel[0] / photo.width, sheet.panel[1] / photo.height
    x_min, y_min, x_max, y_max = box
    first = round(left + x_min * across), round(top + y_min * down)
    last = max(first[0], round(left + x_max * across) - 1), max(first[1], round(top + y_max * down) - 1)
    line = max(1, sheet.bar // 4)
    pen.rectangle((*first, *last), outline=_INK, width=2 * line)
    pen.rectangle((*first, *last), outline=BOX_COLOUR, width=line)


def _shortened(text: str, font: _Font, width: float) -> str:
    """Cut a text to a width, in letters that Pillow's font has: accents go, other scripts become ``_``."""
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(
        character if character.isascii() or character in "·…" else "_"
        for character in plain
        if not unicodedata.combining(character)
    )
    if font.getlength(plain) <= width:
        return plain
    while plain and font.getlength(plain + "…") > width:
        plain = plain[:-1]
    return plain.rstrip() + "…"
