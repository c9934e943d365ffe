"""What tells the maps of one visitor, or of all, from each other."""

from __future__ import annotations

from dataclasses import dataclass

from convfe_core.backbones.precision import Precision
from convfe_core.catalog.specs import Spec
from convfe_core.maps.input_size import Size


@dataclass(frozen=True)
class MapKey:
    """Everything that the values of a map depend on; photographs count by the SHA-256 of their bytes.

    Attributes
    ----------
    together : of PCA colours, all the photographs that their basis is of
    """

    digest: str
    spec: Spec
    tap: str
    size: Size
    precision: Precision = "float32"
    together: tuple[str, ...] = ()
