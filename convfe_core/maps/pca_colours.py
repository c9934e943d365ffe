"""PCA colours: the three directions in which features vary most, as red, green and blue.

Cells of one colour have features alike, on whichever photograph. Colours are not classes, and those of two backbones
have nothing to do with each other.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.backbones.backbone import Backbone
from convfe_core.base.arrays import FloatArray
from convfe_core.base.errors import ImageError
from convfe_core.base.wording import counted
from convfe_core.machine.machine_queue import OnWait, wait_silently
from convfe_core.maps.cell_moments import CellMoments
from convfe_core.maps.every_layer import LayerReader
from convfe_core.maps.extraction import Key, Member, Projected, project_windows
from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.maps.input_size import Size
from convfe_core.photos.photo import Photo

COLOURS = 3
LOWEST, HIGHEST = 0.01, 0.99
"""Shares of the cells, every photograph weighing the same, whose components become 0 and 255."""

Keep = Callable[[Sequence[Projected]], Any]
RunPhotos = Callable[[Sequence[FloatArray], Keep], list[Any]]
"""Runs all photographs once, and hands over for each what it gave along the directions, (C, k), of every layer; returns
what is kept of each, in the order of the photographs, which need not be that of the calls."""


@dataclass(frozen=True, eq=False)
class PcaBasis:
    """What turns the features of one layer into colours.

    Attributes
    ----------
    directions : (C, k) float32, k <= 3; fewer where the features vary in fewer directions
    low, high : (k,) components that become 0 and 255
    """

    directions: FloatArray
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def paint(self, found: Projected) -> FeatureMaps:
        """The maps of a photograph with its colours.

        Parameters
        ----------
        found : its components along `directions`

        Returns
        -------
        maps whose `pca` is grey, 128, in each colour that lacks a component or is the same on all cells; black where a
        feature is no number
        """
        half = np.maximum((self.high - self.low) / 2, np.finfo(np.float64).tiny)
        shares = (found.components - (self.low + self.high) / 2) / half / 2 + 0.5
        colours = np.full((*found.maps.mean.shape, COLOURS), 128, np.uint8)
        colours[..., : shares.shape[-1]] = np.rint(np.clip(shares, 0, 1) * 255)
        colours[~np.isfinite(found.maps.mean)] = 0
        return replace(found.maps, pca=colours, notes=(*found.maps.notes, *self.notes))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the colours should know, in a sentence if anything."""
        found = self.directions.shape[1]
        if found == COLOURS:
            return ()
        if found == 0:
            return ("PCA colours are grey: the features are the same on all cells",)
        return (f"PCA colours show {counted(found, 'component')} of {COLOURS}: the features vary in no more",)


def fit_bases(run: RunPhotos, channels: Sequence[int]) -> tuple[list[PcaBasis], list[list[Projected]]]:
    """Find the basis of every layer for some photographs in two passes, in memory that grows with their cells alone.

    The first pass sums up the moments of the features, every photograph weighing the same and cells with a feature that
    is no number left out; the second one gives the components, of which percentiles are taken.

    Parameters
    ----------
    channels : C of each layer

    Returns
    -------
    the bases, and for each photograph what the second pass gave at every layer

    Raises
    ------
    ImageError : no photograph came
    """
    moments = [CellMoments(count) for count in channels]

    def add(found: Sequence[Projected]) -> None:
        for one, sums in zip(found, moments, strict=True):
            cells = one.components[np.isfinite(one.maps.mean)]
            if len(cells):
                sums.add(cells)

    run([np.eye(count, dtype=np.float32) for count in channels], add)
    directions = [_directions(sums) for sums in moments]
    kept = run(directions, lambda found: [replace(one, components=one.components.copy()) for one in found])
    if not kept:
        raise ImageError("Expected an image that can be read, to find PCA colours with. Received: none.")
    layers = zip(*kept, strict=True)
    return [_scaled(axes, found) for axes, found in zip(directions, layers, strict=True)], kept


def _directions(moments: CellMoments) -> FloatArray:
    if not moments.photographs:
        return np.zeros((moments.channels, 0), np.float32)
    return moments.principal_components(COLOURS)[0].astype(np.float32)


def _scaled(directions: FloatArray, found: Iterable[Projected]) -> PcaBasis:
    """Take the percentiles of the components of cells; a cell of a photograph with n cells weighs 1 / n."""
    cells = [one.components[np.isfinite(one.maps.mean)].astype(np.float64) for one in found]
    count = directions.shape[1]
    if not count:
        return PcaBasis(directions, np.zeros(0), np.zeros(0))
    weights = np.concatenate([np.full(len(one), 1 / max(len(one), 1)) for one in cells])
    low, high = np.quantile(np.concatenate(cells), (LOWEST, HIGHEST), axis=0, weights=weights, method="inverted_cdf")
    return PcaBasis(directions, low, high)


def colour_features(found: Sequence[Projected]) -> list[FeatureMaps]:
    """The maps of photographs whose features are in memory, with PCA colours of one basis for them all.

    Parameters
    ----------
    found : whole features of at least one photograph, all of one layer
    """

    def run(directions: Sequence[FloatArray], keep: Keep) -> list[Any]:
        (axes,) = directions
        return [keep([replace(one, components=one.components @ axes)]) for one in found]

    (basis,), projected = fit_bases(run, [found[0].components.shape[-1]])
    return [basis.paint(one) for (one,) in projected]


def fit_basis(
    backbone: Backbone,
    photos: Iterable[Photo],
    size: Size,
    on_wait: OnWait = wait_silently,
    tell: Callable[[int], None] = lambda _done: None,
) -> tuple[PcaBasis, list[Projected]]:
    """Find one basis for photographs under a backbone; see `fit_bases`.

    Parameters
    ----------
    photos : each one that `require_cells` takes; they are gone through twice
    tell : called with how many photographs were run, each of them twice
    others : as in `convfe_core.maps.extraction.run_windows`
    """
    done = 0

    def run(directions: Sequence[FloatArray], keep: Keep) -> list[Any]:
        def hand_over(_one: Member[None], found: Projected) -> Any:
            nonlocal done
            done += 1
            tell(done)
            return keep([found])

        named = ((None, photo) for photo in photos)
        windows = project_windows(backbone, named, size, directions[0], hand_over, on_wait)
        return [kept for window in windows for kept in window]

    (basis,), found = fit_bases(run, [backbone.channels])
    return basis, [one for (one,) in found]


def coloured_windows(
    backbone: Backbone, basis: PcaBasis, photos: Iterable[tuple[Key, Photo]], size: Size
) -> Generator[list[tuple[Key, Photo, FeatureMaps]], None, None]:
    """As `convfe_core.maps.extraction.extract_windows`, with the colours of a basis found before."""

    def keep(one: Member[Key], found: Projected) -> tuple[Key, Photo, FeatureMaps]:
        return one.key, one.photo, basis.paint(found)

    return project_windows(backbone, photos, size, basis.directions, keep)


def extract_coloured(
    backbone: Backbone,
    photos: Sequence[Photo],
    size: Size,
    on_wait: OnWait = wait_silently,
    tell: Callable[[int], None] = lambda _done: None,
) -> list[FeatureMaps]:
    """Run a backbone over photographs and give the maps of each, with PCA colours of one basis for them all."""
    basis, found = fit_basis(backbone, photos, size, on_wait, tell)
    return [basis.paint(one) for one in found]


def extract_coloured_layers(reader: LayerReader, photos: Sequence[Photo], size: Size) -> list[list[FeatureMaps]]:
    """Run a network over photographs and give the maps of each at every layer, with one basis a layer for them all."""

    def run(directions: Sequence[FloatArray], keep: Keep) -> list[Any]:
        return [keep(reader.project(photo, size, directions)) for photo in photos]

    bases, found = fit_bases(run, [layer.channels for layer in reader.layers])
    return [[basis.paint(one) for basis, one in zip(bases, layers, strict=True)] for layers in found]
