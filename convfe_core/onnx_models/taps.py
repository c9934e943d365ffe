"""Which tensors of an ONNX graph can be looked at: maps and tokens, by the names that the exporter gave them."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from typing import Any

from convfe_core.base.errors import ModelFileError, SpecError
from convfe_core.geometry.axis_changes import Pair, Resized
from convfe_core.geometry.cell_geometry import CellGrid, SpatialPath, Step
from convfe_core.graph.taps import FINE_STAGES, STAGES, Tap
from convfe_core.onnx_models.opening import OnnxGraph
from convfe_core.onnx_models.places import Placed, Places
from convfe_core.onnx_models.shapes import Shapes, Sides, infer_shapes

USUAL_SIZE = 320
"""Longest side, in pixels, for a network that takes any size."""
_OTHER_SIZES = (224, 256, 384, 512, 518, 640)
"""Sides that such a network is tried with where its layers do not take the usual one."""

MOST_SIZES = 64
"""Sizes of picture whose shapes are kept."""

_APPROXIMATE = (
    "Where the cells lie is approximate: an operation before this map moves them in a way that is not followed here, "
    "so they are spread evenly over the picture."
)
_LOST_TOKENS = (
    "What its operation {!r} does to the places of cells is not followed here: maps before it are offered, tokens "
    "behind it are not."
)
_NORMALIZATIONS = ("LayerNormalization", "RMSNormalization")
_TURNING = ("Transpose", "Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze")
_GATING = ("Add", "Sigmoid", "HardSigmoid", "Identity", "Cast")
"""What may stand between coarse attention and the maps that it weighs."""
_ENLARGING = ("Resize", "Upsample", "ConvTranspose", "DepthToSpace")


@dataclass(frozen=True)
class OnnxMap:
    """A tensor that can be looked at.

    Attributes
    ----------
    name : of the tensor
    placed : how the map lies in it
    channels : how many
    stride : input pixels per cell, down and across
    known : whether places are known from kernels and paddings; else from the ratio of sizes alone
    capped_by : the capped ReLU that it enters, and in whose place it is looked at through a plain one
    """

    name: str
    placed: Placed
    channels: int
    stride: Pair[float]
    known: bool
    capped_by: str | None = None


class OnnxMaps:
    """The maps of a graph at the size of picture that it is made for, or that it is tried with.

    Attributes
    ----------
    height, width : that size
    shapes : of its tensors
    maps : every map, in the order in which they are computed
    """

    def __init__(self, graph: OnnxGraph) -> None:
        self.graph = graph
        self.height, self.width, self.shapes = _at_one_size(graph)
        self._places = Places(graph, self.shapes, self.height, self.width)
        self._maker = {name: node for node in graph.nodes for name in node.output if name}
        names = [name for node in graph.nodes for name in node.output if name]
        self.maps = [one for one in map(self._map_in, names) if one is not None]
        self._by_name = {one.name: one for one in self.maps}
        self._shapes_at = lru_cache(MOST_SIZES)(
            lambda names, high, wide: infer_shapes(graph, high, wide, self.before(names))
        )
        if not self.maps:
            raise ModelFileError(
                f"{graph.file}: expected a network with feature maps, (N, C, h, w), or tokens. Received: none whose "
                "size the picture's size tells."
            )

    @property
    def working_size(self) -> int:
        """Longest side that photographs get: the one it was made for, where it says one."""
        return max(self.graph.picture.size or (size_said(self.graph) or USUAL_SIZE,))

    def find(self, tap: str) -> tuple[OnnxMap, Tap]:
        """Find the map to look at.

        Parameters
        ----------
        tap : ``auto``: the last map that all later ones are computed from, before the first enlarging one; before a
            final normalisation, and through a plain ReLU where it ends in a capped one. ``C0`` to ``C5``: the last
            map of that stage, by the same rule. ``output``: what the network returns. Else the name of a tensor, or
            of the operation that makes it

        Raises
        ------
        SpecError : no such map
        """
        strides = FINE_STAGES | STAGES
        if tap in ("auto", *strides):
            found = self._shown(self._last(None if tap == "auto" else strides[tap], tap))
        elif tap == "output":
            outputs = [self._by_name[name] for name in self.graph.outputs if name in self._by_name]
            if not outputs:
                raise SpecError(f"Expected an output that is a map. Received: {', '.join(self.graph.outputs[:4])}.")
            found = outputs[0]
        else:
            found = self.named(tap)
        layer, capped = found.capped_by or found.name, found.capped_by is not None
        return found, Tap(tap, layer, found.channels, max(1, round(found.stride[0])), capped)

    def stages(self) -> dict[str, Tap]:
        """The stages that there are, as `convfe_core.graph.taps.stage_taps` lists them."""
        found = self._among(STAGES)
        return found if len(found) >= 3 else {**self._among(FINE_STAGES), **found}

    def path(self, one: OnnxMap) -> SpatialPath:
        """Where the cells of a map lie; where nobody knows, evenly spread over the picture."""
        spread = (Step((-1,), Resized(*one.placed.cells)),)
        steps = self._places.path(one.placed).steps if one.known else spread
        return _CountedPath(steps, size=self.graph.picture.size, cells=partial(self.cells, one))

    def notes(self, one: OnnxMap) -> tuple[str, ...]:
        """One sentence for each thing that a reader of a map should know."""
        if not one.known:
            return (_APPROXIMATE,)
        return () if self._lost_tokens is None else (_LOST_TOKENS.format(self._lost_tokens),)

    @cached_property
    def _lost_tokens(self) -> str | None:
        """The operation behind which nobody knows where tokens of residual blocks lie; None where there are none."""
        lost = [(name, node) for name, node in self._encoder() if self._places.lost(name)]
        blocks = any(node.op_type == "Add" and len(self.shapes.of.get(name, ())) == 3 for name, node in lost)
        return lost[0][0] if blocks else None

    def check(self, wanted: Iterable[str], height: int, width: int) -> Shapes:
        """The shapes of what leads to some tensors for a picture of another size, checked as at the first one.

        Raises
        ------
        ModelFileError : layers that do not take this size, or make far too much of it
        """
        if (height, width) == (self.height, self.width):
            return self.shapes
        return self._shapes_at(frozenset(wanted), height, width)

    def cells(self, one: OnnxMap, height: int, width: int) -> Pair[int]:
        """Rows and columns of a map at a size of picture."""
        shape, placed = self.check([one.name], height, width).of[one.name], one.placed
        if placed.rows != placed.columns:
            return shape[placed.rows], shape[placed.columns]
        return _in_rows(shape[placed.rows] - placed.before, height / width)

    def before(self, wanted: Iterable[str]) -> list[Any]:
        """The operations that some tensors are computed by, in order."""
        needed = set(wanted)
        kept = []
        for node in reversed(self.graph.nodes):
            if needed.intersection(node.output):
                kept.append(node)
                needed.update(node.input)
        return kept[::-1]

    def _among(self, stages: Iterable[str]) -> dict[str, Tap]:
        found = {}
        for stage in stages:
            try:
                found[stage] = self.find(stage)[1]
            except SpecError:
                continue
        return found

    def _map_in(self, name: str) -> OnnxMap | None:
        """The map that a tensor holds; None where it holds none."""
        shape, placed = self.shapes.of.get(name), self._places.of(name)
        if shape is None or name not in self.shapes.from_picture:
            return None
        known = placed is not None
        if placed is None and self._places.lost(name):
            placed = _by_ratio(shape, self.height, self.width)
        if placed is None or min(placed.cells) * max(placed.cells) <= 1:
            return None
        stride = self._places.strides(placed) if known else _ratio(placed.cells, self.height, self.width)
        return OnnxMap(name, placed, shape[placed.channels], stride, known)

    def named(self, name: str) -> OnnxMap:
        by_operation = {node.name: self._by_name.get(node.output[0]) for node in self.graph.nodes if node.name}
        found = self._by_name.get(name) or by_operation.get(name)
        if found is None:
            known = ["auto", "output", *STAGES, *self._by_name]
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f" Did you mean {', '.join(near)}?" if near else ""
            raise SpecError(f"Expected auto, output, C2 to C5 or a map of {self.graph.file}. Received: {name!r}.{hint}")
        return found

    def _last(self, stride: int | None, asked: str) -> OnnxMap:
        """The last map, of a stride or of any, that all later ones are computed from."""
        encoder = self._encoder()
        positions = {name: position for position, (name, _) in enumerate(encoder)}
        consumers = list(range(len(encoder)))
        for position, (_, node) in enumerate(encoder):
            for source in node.input:
                if source in positions:
                    consumers[positions[source]] = position
        last, reach = None, 0
        for position, (name, node) in enumerate(encoder):
            bypassed, reach = reach > position, max(reach, consumers[position])
            one = self._by_name.get(name)
            right = one is not None and (stride is None or round(math.log2(one.stride[0])) == round(math.log2(stride)))
            if right and not bypassed and node.op_type != "Pad":
                last = one
        if last is None:
            wanted = "with a map" if stride is None else "that this network has"
            raise SpecError(f"Expected a stage {wanted}. Received: {asked}, which {self.graph.file} has not.")
        return last

    def _encoder(self) -> list[tuple[str, Any]]:
        """Tensors that lead to what a decoder enlarges, each with the operation that makes it; all where none does.

        What branches off to join what was enlarged, as lateral convolutions of a feature pyramid, is no part of it.
        """
        enlarged: set[str] = set()
        bottoms = []
        taken = {source for node in self.graph.nodes for source in node.input} | set(self.graph.outputs)
        kept = []
        for node in self.graph.nodes:
            if enlarged.intersection(node.input):
                enlarged.update(node.output)
            elif self._enlarges(node):
                enlarged.update(node.output)
                bottoms.append(node.input[0])
            else:
                made = [*node.output[:1], *(name for name in node.output[1:] if name in taken)]
                kept += [(name, node) for name in made if name in self.shapes.from_picture]
        leading = {name for node in self.before(bottoms) for name in node.output}
        return [(name, node) for name, node in kept if not bottoms or name in leading]

    def _enlarges(self, node: Any) -> bool:
        if node.op_type not in _ENLARGING or node.input[0] not in self.shapes.from_picture:
            return False
        before, after = (self._by_name.get(name) for name in (node.input[0], node.output[0]))
        larger = after is None or (before is not None and after.stride[0] < before.stride[0])
        return larger and node.output[0] not in self._weights_of_maps

    @cached_property
    def _weights_of_maps(self) -> set[str]:
        """Tensors that serve only to weigh maps, number by number, as attention that was computed coarsely."""
        only = dict.fromkeys(self.graph.outputs, False)
        for node in reversed(self.graph.nodes):
            passed_on = node.op_type in _GATING and only.get(node.output[0], False)
            for name in set(node.input):
                only[name] = only.get(name, True) and (passed_on or self._weighs(name, node))
        return {name for name, alone in only.items() if alone}

    def _weighs(self, name: str, node: Any) -> bool:
        """Whether a node multiplies another map by a tensor; x times sigmoid(x) is an activation of x."""
        others = [self._maker[one] for one in node.input if one != name and one in self._maker]
        return node.op_type == "Mul" and any(
            name not in other.input and other.output[0] in self.shapes.from_picture for other in others
        )

    def _shown(self, one: OnnxMap) -> OnnxMap:
        """Step back from a last operation that hides the picture, as `convfe_core.graph.taps.resolve_tap` does."""
        one = self._without_turns(one)
        normalized = self._before_normalization(one.name)
        if normalized is not None:
            return self._without_turns(normalized)
        node = self._maker[one.name]
        if node.op_type == "Clip" and self.cap_of(node) is not None and node.input[0] in self._by_name:
            return replace(self._by_name[node.input[0]], capped_by=one.name)
        return one

    def _without_turns(self, one: OnnxMap) -> OnnxMap:
        """The map that was only laid out anew, or that tokens without a place were cut off from."""
        while True:
            node = self._maker[one.name]
            source = self._by_name.get(node.input[0]) if node.op_type in (*_TURNING, "Slice") else None
            same = source is not None and source.channels == one.channels and source.placed.cells == one.placed.cells
            if source is None or not same:
                return one
            one = source

    def cap_of(self, node: Any) -> float | None:
        """Where a Clip that is a capped ReLU cuts off; None of any other."""
        settings = {one.name: one.f for one in node.attribute}
        bounds = [self.shapes.values.get(name) for name in node.input[1:3]]
        low = settings.get("min", bounds[0] if bounds else None)
        high = settings.get("max", bounds[1] if len(bounds) > 1 else None)
        return None if low is None or high is None or float(low) != 0.0 else float(high)

    def _before_normalization(self, name: str) -> OnnxMap | None:
        """What enters a normalisation over channels, which may be written out as the operations that make it up."""
        node = self._maker.get(name)
        if node is not None and node.op_type in _NORMALIZATIONS:
            return self._by_name.get(node.input[0])
        for operation in ("Add", "Mul"):
            if node is None or node.op_type != operation:
                return None
            sources = [one for one in node.input if one in self.shapes.from_picture]
            node = self._maker.get(sources[0]) if len(sources) == 1 else None
        if node is None or node.op_type != "Div":
            return None
        centred = self._maker.get(node.input[0])
        return self._by_name.get(centred.input[0]) if centred is not None and centred.op_type == "Sub" else None


@dataclass(frozen=True)
class _CountedPath(SpatialPath):
    """A path beside which it is known how many cells there are; where it leads to others, they lie evenly spread.

    Attributes
    ----------
    cells : rows and columns of the map for a height and width of the picture
    """

    cells: Callable[[int, int], Pair[int]] = field(kw_only=True)

    def grid(self, input_height: int, input_width: int) -> CellGrid:
        rows, columns = self.cells(input_height, input_width)
        try:
            grid = super().grid(input_height, input_width)
        except SpecError:
            grid = None
        if grid is not None and (grid.rows, grid.columns) == (rows, columns):
            return grid
        down, across = _ratio((rows, columns), input_height, input_width)
        return CellGrid(rows, columns, down, across, down / 2, across / 2)


def _in_rows(count: int, aspect: float) -> Pair[int]:
    """So many tokens in rows, in the aspect ratio nearest to the picture's."""
    divisors = (one for one in range(1, count + 1) if count % one == 0)
    rows = min(divisors, key=lambda one: abs(one * one / count - aspect))
    return rows, count // rows


def _at_one_size(graph: OnnxGraph) -> tuple[int, int, Shapes]:
    """The shapes of a graph at its own size, or at the first usual one that its layers take."""
    height, width = graph.picture.height, graph.picture.width
    for side in (size_said(graph) or USUAL_SIZE, USUAL_SIZE, *_OTHER_SIZES):
        try:
            return height or side, width or side, infer_shapes(graph, height or side, width or side)
        except ModelFileError as error:
            refused = error
            if None not in (height, width):
                break
    raise refused


def size_said(graph: OnnxGraph) -> int | None:
    """The side that Ultralytics writes into its files as ``imgsz``, [height, width]."""
    sides = [part for part in graph.said.get("imgsz", "").strip("[]() ").replace(",", " ").split() if part.isdecimal()]
    longest = max(map(int, sides), default=0)
    return longest if 32 <= longest <= 2048 else None


def _ratio(cells: Pair[int], height: int, width: int) -> Pair[float]:
    return height / cells[0], width / cells[1]


def _by_ratio(shape: Sides, height: int, width: int) -> Placed | None:
    """How a map lies in a tensor that nobody knows the places of: as its sizes suggest, channels first if either."""
    if len(shape) != 4:
        return None
    for rows, columns, channels in ((2, 3, 1), (1, 2, 3)):
        down, across = height / shape[rows], width / shape[columns]
        if 1 <= down <= 64 and abs(down - across) <= 0.05 * down:
            return Placed(-1, rows, columns, channels, 0, (shape[rows], shape[columns]))
    return None
