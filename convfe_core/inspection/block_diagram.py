"""An architecture's blocks: layers that follow each other in one box, and the boxes as a graph to be drawn."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from convfe_core.backbones.network import KerasNetwork
from convfe_core.graph.taps import tensors_and_strides
from convfe_core.graph.walk import operation_of, sources_of


@dataclass(frozen=True)
class Block:
    """Layers of which each takes what the one before gives, and nothing else does.

    Attributes
    ----------
    name : its first and its last layer
    steps : what it does, one line for each layer with a kernel and what follows it
    stride, channels : of what comes out, None where that is no map
    sources : numbers of the blocks that it takes from; -1 is the picture
    """

    name: str
    steps: tuple[str, ...]
    stride: float | None
    channels: int | None
    sources: tuple[int, ...]


def find_blocks(network: KerasNetwork) -> list[Block]:
    """Group the layers up to the network's output, sources before what takes from them."""
    strides = tensors_and_strides(network.model)
    sources = {id(tensor): sources_of(tensor) for tensor, _ in strides}
    takers = Counter(id(source) for found in sources.values() for source in found)
    number = {id(tensor): -1 for tensor in network.model.inputs}
    rows: list[list[tuple[Any, float]]] = []
    for tensor, stride in strides:
        before = sources[id(tensor)]
        alone = len(before) == 1 and takers[id(before[0])] == 1 and number[id(before[0])] >= 0
        if not alone:
            rows.append([])
        number[id(tensor)] = number[id(before[0])] if alone else len(rows) - 1
        rows[number[id(tensor)]].append((tensor, stride))
    return [_block(row, tuple(dict.fromkeys(number[id(one)] for one in sources[id(row[0][0])]))) for row in rows]


def blocks_dot(network: KerasNetwork, ink: str) -> str:
    """The blocks in Graphviz' language, from top to bottom.

    Parameters
    ----------
    ink : colour of lines and words, as in ``#1c2b2a``
    """
    lines = [
        "digraph {",
        'bgcolor="transparent" ranksep=0.25 nodesep=0.3',
        f'node [shape=box style=rounded fontname="sans-serif" fontsize=11 margin="0.12,0.06" color="{ink}" '
        f'fontcolor="{ink}"]',
        f'edge [color="{ink}" arrowsize=0.6]',
        'picture [label="picture" shape=plain]',
    ]
    for number, block in enumerate(find_blocks(network)):
        where = f"  ·  stride {block.stride:g}, {block.channels} channels" if block.stride else ""
        text = "".join(f"{_quoted(line)}\\l" for line in (f"{block.name}{where}", *block.steps))
        lines.append(f'b{number} [label="{text}"]')
        lines += [f"{'picture' if source < 0 else f'b{source}'} -> b{number}" for source in block.sources]
    return "\n".join([*lines, "}"])


def _block(row: list[tuple[Any, float]], sources: tuple[int, ...]) -> Block:
    layers = [operation_of(tensor) for tensor, _ in row]
    steps: list[str] = []
    for layer in layers:
        if steps and getattr(layer, "kernel_size", None) is None and not hasattr(layer, "units"):
            steps[-1] += f" + {_step(layer)}"
        else:
            steps.append(_step(layer))
    tensor, stride = row[-1]
    return Block(
        name=" … ".join(dict.fromkeys(str(layer.name) for layer in (layers[0], layers[-1]))),
        steps=tuple(steps),
        stride=stride or None,
        channels=int(tensor.shape[-1]) if stride else None,
        sources=sources,
    )


def _step(layer: Any) -> str:
    """A layer's type, and how large its kernel is and by how much it moves on."""
    kernel, strides = getattr(layer, "kernel_size", None), getattr(layer, "strides", None)
    kernel = kernel or getattr(layer, "pool_size", None)
    text = type(layer).__name__
    if isinstance(kernel, tuple):
        text += f" {' × '.join(map(str, kernel))}"
    if isinstance(strides, tuple) and max(strides) > 1:
        text += f" / {max(strides)}"
    return text


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
