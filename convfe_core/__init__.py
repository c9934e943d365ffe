"""Look at convolutional backbones: max and mean maps, PCA colours, separation, ranking; no Streamlit in here.

What a notebook needs is imported from here; everything else from the module that has it. A name is looked up when it is
first used, so that ``import convfe_core`` itself imports nothing, TensorFlow least of all. It switches oneDNN on for
TensorFlow, unless somebody decided otherwise or TensorFlow is there already (see `convfe_core.machine.onednn`): every
page, command, worker and notebook passes here before TensorFlow.

Examples
--------
>>> from convfe_core import extract_maps, load_backbone, load_sample, parse_size, parse_spec
>>> backbone = load_backbone(parse_spec("TinyResNet"))
>>> (maps,) = extract_maps(backbone, [load_sample("chelsea")], parse_size("own"))
>>> maps.max.shape, maps.mean.shape
((7, 10), (7, 10))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from convfe_core.machine.onednn import prefer_onednn

if TYPE_CHECKING:
    from convfe_core.backbones.backbone import Backbone, load_backbone
    from convfe_core.base.errors import ConvfeError
    from convfe_core.base.file_sets import open_files
    from convfe_core.catalog.specs import CATALOG, Spec, parse_spec
    from convfe_core.datasets.boxes import Dataset
    from convfe_core.datasets.read_dataset import open_boxes, read_dataset
    from convfe_core.datasets.samples import read_samples
    from convfe_core.drawing.row_picture import row_png
    from convfe_core.maps.extraction import extract_maps
    from convfe_core.maps.feature_maps import FeatureMaps
    from convfe_core.maps.input_size import Size, parse_size
    from convfe_core.maps.map_diagnostics import Diagnostics, diagnose_map
    from convfe_core.maps.npz import maps_npz
    from convfe_core.maps.pca_colours import extract_coloured
    from convfe_core.photos.gallery import load_sample
    from convfe_core.photos.photo import Photo, open_photo
    from convfe_core.ranking.results import RankOptions, RankResult
    from convfe_core.ranking.run import RankRun
    from convfe_core.reports.html_report import write_reports

__all__ = [
    "CATALOG",
    "Backbone",
    "ConvfeError",
    "Dataset",
    "Diagnostics",
    "FeatureMaps",
    "Photo",
    "RankOptions",
    "RankResult",
    "RankRun",
    "Size",
    "Spec",
    "diagnose_map",
    "extract_coloured",
    "extract_maps",
    "load_backbone",
    "load_sample",
    "maps_npz",
    "open_boxes",
    "open_files",
    "open_photo",
    "parse_size",
    "parse_spec",
    "read_dataset",
    "read_samples",
    "row_png",
    "write_reports",
]

prefer_onednn()

_HOMES = {
    "datasets.read_dataset": ("open_boxes", "read_dataset"),
    "datasets.samples": ("read_samples",),
    "backbones.backbone": ("Backbone", "load_backbone"),
    "datasets.boxes": ("Dataset",),
    "catalog.specs": ("CATALOG", "Spec", "parse_spec"),
    "maps.map_diagnostics": ("Diagnostics", "diagnose_map"),
    "base.errors": ("ConvfeError",),
    "maps.npz": ("maps_npz",),
    "maps.extraction": ("extract_maps",),
    "maps.pca_colours": ("extract_coloured",),
    "maps.input_size": ("Size", "parse_size"),
    "base.file_sets": ("open_files",),
    "photos.gallery": ("load_sample",),
    "photos.photo": ("Photo", "open_photo"),
    "maps.feature_maps": ("FeatureMaps",),
    "drawing.row_picture": ("row_png",),
    "ranking.run": ("RankRun",),
    "reports.html_report": ("write_reports",),
    "ranking.results": ("RankOptions", "RankResult"),
}
"""Which module has which names; the same as `__all__` and as type checkers read above."""

_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name's module when the name is first asked for (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
