"""Small Keras models made at random of layers that move cells about, with what is known of their maps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")
SMALLEST, LARGEST = 4, 64


@dataclass
class Known:
    """How a map stands: a tensor of the model, and what turns it upright.

    Attributes
    ----------
    exact : one chain of layers whose kernels are even, so that its cells see exactly about their centres
    everywhere : its cells see the whole picture besides what is about them
    lost : it comes after a layer that moves cells in an unknown way
    """

    tensor: Any
    turned: bool = False
    mirrored: tuple[bool, bool] = (False, False)
    exact: bool = True
    everywhere: bool = False
    lost: str = ""

    def upright(self, values: Any) -> Any:
        """(n, ., ., C) as the picture stands."""
        axes = [1 + axis for axis in (0, 1) if self.mirrored[axis]]
        if self.turned:
            values = np.swapaxes(values, 1, 2)
        return np.flip(values, axes) if axes else values


@dataclass
class RandomModel:
    """A model, its maps by the names of the layers that make them, and the photograph's size."""

    size: tuple[int, int]
    model: Any = None
    maps: dict[str, Known] = field(default_factory=dict)
    main: list[str] = field(default_factory=list)


@st.composite
def random_models(draw: st.DrawFn) -> RandomModel:
    """Draw a model of one picture, of one size or of any, with a map or a vector for output, or two of them."""
    import keras

    open_size = draw(st.booleans())
    size = draw(st.sampled_from([(32, 64), (64, 32), (64, 64)] if open_size else [(24, 40), (33, 31), (32, 32)]))
    made = RandomModel(size)
    picture = keras.Input((None, None, 3) if open_size else (*size, 3))
    one = _Drawing(draw, made, open_size)
    now = Known(picture)
    now = one.named(keras.layers.Conv2D(4, 1), now)
    for _ in range(draw(st.integers(1, 5))):
        now = one.step(now)
    made.main = [name for name, known in made.maps.items() if not known.lost]
    outputs = one.head(now)
    if draw(st.booleans()):
        side = made.maps[draw(st.sampled_from(list(made.maps)))]
        branch = one.named(keras.layers.Conv2D(3, 1), side)
        outputs = draw(st.sampled_from([{"main": outputs, "aux": one.head(branch)}]))
    made.model = keras.Model(picture, outputs)
    _make_even(made.model)
    return made


class _Drawing:
    def __init__(self, draw: st.DrawFn, made: RandomModel, open_size: bool) -> None:
        self._draw, self._made, self._open = draw, made, open_size

    def pick(self, *values: Any) -> Any:
        """One of some values."""
        return self._draw(st.sampled_from(values))

    def number(self, low: int, high: int) -> int:
        """A whole number."""
        return self._draw(st.integers(low, high))

    def head(self, known: Known) -> Any:
        """The map itself, or a classifier on it."""
        import keras

        if self.pick(True, False) or known.lost:
            return keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(known.tensor))
        return known.tensor

    def named(self, layer: Any, known: Known, **changes: Any) -> Known:
        """Call a layer and remember its map."""
        number = len(self._made.maps)
        layer.name = f"{type(layer).__name__.lower()}_at_{number}"
        return self.keep(layer(known.tensor), known, **changes)

    def keep(self, tensor: Any, known: Known, **changes: Any) -> Known:
        """Remember a map under the name of what made it."""
        new = Known(tensor, **{**{k: v for k, v in known.__dict__.items() if k != "tensor"}, **changes})
        self._made.maps[tensor._keras_history.operation.name] = new
        return new

    def step(self, known: Known) -> Known:
        """One or a few more layers, or none where they would leave too few cells or too many."""
        kind = getattr(self, self.pick(*(name for name in dir(self) if name.startswith("add_"))))
        before = dict(self._made.maps)
        try:
            new = kind(known)
        except (ValueError, TypeError):  # too small for the kernel, or Keras needs the size
            new = None
        sides = () if new is None else tuple(new.tensor.shape[1:3])
        if new is None or any(side is not None and not SMALLEST <= side <= LARGEST for side in sides):
            self._made.maps = before
            return known
        return new

    def add_convolution(self, known: Known) -> Known:
        import keras

        kernel = self.number(1, 4), self.number(1, 4)
        dilated = self.pick(False, False, True)
        strides, dilation = (1, (self.number(1, 2), 2)) if dilated else ((self.number(1, 2),) * 2, 1)
        padding = self.pick("same", "valid")
        if self.pick(True, False):
            return self.named(keras.layers.Conv2D(4, kernel, strides, padding, dilation_rate=dilation), known)
        return self.named(keras.layers.DepthwiseConv2D(kernel, strides, padding, dilation_rate=dilation), known)

    def add_pooling(self, known: Known) -> Known:
        import keras

        padding = self.pick("same", "valid")
        size, strides = (self.number(1, 3), self.number(1, 3)), self.pick(1, 2, None)
        if self.pick(True, False):
            return self.named(keras.layers.MaxPooling2D(size, strides, padding), known, exact=False)
        # at a border fewer cells are averaged, so that kernels are not even there
        return self.named(keras.layers.AveragePooling2D(size, strides, padding), known)

    def add_margin(self, known: Known) -> Known:
        import keras

        sides = (self.number(0, 6), self.number(0, 2)), (self.number(0, 2), self.number(0, 6))
        way = self.pick("layer", "pad", "reflect")
        if way == "layer":
            return self.named(keras.layers.ZeroPadding2D(sides), known)
        mode = "constant" if way == "pad" else "reflect"
        lengths = [length or SMALLEST for length in known.tensor.shape[1:3]]
        if mode == "reflect" and any(max(added) >= length for length, added in zip(lengths, sides, strict=True)):
            raise ValueError("Keras reflects no more cells than there are")
        lengths = [length or SMALLEST for length in known.tensor.shape[1:3]]
        if mode == "reflect" and any(max(added) >= length for length, added in zip(lengths, sides, strict=True)):
            raise ValueError("Keras reflects no more cells than there are")
        return self.keep(
            keras.ops.pad(known.tensor, ((0, 0), *sides, (0, 0)), mode=mode), known, exact=known.exact and way == "pad"
        )

    def add_cropping(self, known: Known) -> Known:
        import keras

        (top, bottom), (left, right) = sides = (
            (self.number(0, 12), self.number(0, 2)),
            (
                self.number(0, 3),
                self.number(0, 9),
            ),
        )
        if self.pick(True, False):
            return self.named(keras.layers.Cropping2D(sides), known)
        return self.keep(known.tensor[:, top : -bottom or None, left : -right or None], known)

    def add_every_other(self, known: Known) -> Known:
        return self.keep(known.tensor[:, self.number(0, 1) :: 2, :: self.number(1, 2)], known)

    def add_upsampling(self, known: Known) -> Known:
        import keras

        size, way = (self.number(1, 2), self.number(1, 3)), self.pick(*INTERPOLATIONS)
        layer = keras.layers.UpSampling2D(size, interpolation=way)
        return self.named(layer, known, exact=known.exact and way != "nearest")  # which copies a cell to its neighbours

    def add_transposed(self, known: Known) -> Known:
        import keras

        padding = self.pick("same", "valid")
        layer = keras.layers.Conv2DTranspose(4, self.number(1, 4), self.number(1, 2), padding)
        return self.named(layer, known, exact=False)

    def add_resizing(self, known: Known) -> Known:
        import keras

        size, way = (self.number(8, 40), self.number(8, 40)), self.pick(*INTERPOLATIONS)
        crop, pad = self.pick((False, False), (True, False), (False, True))
        exact = known.exact and way != "nearest"
        if self.pick(True, False):
            layer = keras.layers.Resizing(*size, way, crop_to_aspect_ratio=crop, pad_to_aspect_ratio=pad)
            return self.named(layer, known, exact=exact)
        made = keras.ops.image.resize(
            known.tensor,
            size,
            way,
            antialias=self.pick(True, False),
            crop_to_aspect_ratio=crop,
            pad_to_aspect_ratio=pad,
        )
        return self.keep(made, known, exact=exact)

    def add_middle(self, known: Known) -> Known:
        import keras

        return self.named(keras.layers.CenterCrop(self.number(6, 24), self.number(6, 24)), known)

    def add_turn(self, known: Known) -> Known:
        import keras

        way = self.pick("permute", "transpose", "swap", "move")
        if way == "permute":
            return self.named(keras.layers.Permute((2, 1, 3)), known, turned=not known.turned)
        turns = {
            "transpose": lambda x: keras.ops.transpose(x, (0, 2, 1, 3)),
            "swap": lambda x: keras.ops.swapaxes(x, 1, 2),
            "move": lambda x: keras.ops.moveaxis(x, 1, 2),
        }
        return self.keep(turns[way](known.tensor), known, turned=not known.turned)

    def add_mirror(self, known: Known) -> Known:
        import keras

        axis = self.pick(1, 2)
        mirrored = list(known.mirrored)
        which = (2 - axis) if known.turned else (axis - 1)
        mirrored[which] = not mirrored[which]
        return self.keep(keras.ops.flip(known.tensor, axis), known, mirrored=tuple(mirrored))

    def add_row_of_tokens(self, known: Known) -> Known:
        import keras

        height, width, channels = known.tensor.shape[1:]
        row = keras.layers.Reshape((-1, channels))(known.tensor)
        row = keras.layers.Dense(4)(row)
        if height is None or width is None:
            raise ValueError("a map of any size cannot be put together again")
        return self.keep(keras.layers.Reshape((height, width, 4))(row), known)

    def add_windows(self, known: Known) -> Known:
        """Cut into windows as Swin does, and put together again."""
        import keras

        height, width, channels = known.tensor.shape[1:]
        if height is None or width is None or height % 2 or width % 2:
            raise ValueError("no even number of cells")
        cut = keras.ops.reshape(known.tensor, (-1, height // 2, 2, width // 2, 2, channels))
        windows = keras.ops.reshape(keras.ops.transpose(cut, (0, 1, 3, 2, 4, 5)), (-1, 4, channels))
        back = keras.ops.reshape(keras.layers.Dense(4)(windows), (-1, height // 2, width // 2, 2, 2, 4))
        made = keras.ops.reshape(keras.ops.transpose(back, (0, 1, 3, 2, 4, 5)), (-1, height, width, 4))
        return self.keep(made, known)

    def add_squeeze(self, known: Known) -> Known:
        import keras

        channels = known.tensor.shape[-1]
        pooled = keras.layers.GlobalAveragePooling2D(keepdims=True)(known.tensor)
        return self.keep(
            keras.layers.Add()([known.tensor, keras.layers.Dense(channels)(pooled)]), known, everywhere=True
        )

    def add_branches(self, known: Known) -> Known:
        import keras

        channels = known.tensor.shape[-1]
        wide = keras.layers.Conv2D(channels, 3, padding="same")(known.tensor)
        join = self.pick(keras.layers.Add, keras.layers.Concatenate)
        return self.keep(join()([known.tensor, wide]), known)

    def add_roll(self, known: Known) -> Known:
        import keras

        made = keras.ops.roll(known.tensor, 3, 1)
        return self.keep(made, known, lost=known.lost or made._keras_history.operation.name)


def _make_even(model: Any) -> None:
    """Kernels that average, so that a cell's centre is the centre of what it sees."""
    for layer in model.layers:
        for weight in layer.weights:
            shape = tuple(weight.shape)
            value = 1 / np.prod(shape[:-1]) if len(shape) > 1 else 0.0
            weight.assign(np.full(shape, value, np.float32))
