"""Several stages of a network as one map, as a feature pyramid adds them up.

A pyramid (T. Lin et al., CVPR 2017) takes each stage through a 1x1 convolution of its own, enlarges the coarser ones
and adds all. A 1x1 convolution of the enlarged stages, one behind the other, is the same, and a head begins with one.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from convfe_core.backbones.backbone import Backbone, freeze_network
from convfe_core.backbones.network import KerasNetwork, Network
from convfe_core.backbones.precision import Precision
from convfe_core.base.errors import SpecError
from convfe_core.machine.machine_queue import BUILDING

STAGES = ("C3", "C4", "C5")
ADDED = "+".join(STAGES)
"""What a trial on all of these is called where a tap is asked for."""


def freeze_stages(network: Network, tap: str, precision: Precision) -> tuple[Backbone, tuple[int, ...]]:
    """Freeze a network that is not used again, looked at where it is or, for `ADDED`, in all of its `STAGES`.

    Returns
    -------
    the backbone, and how many of its channels belong to each stage

    Raises
    ------
    SpecError : it has fewer than two of the stages
    """
    freeze = partial(freeze_network, precision=precision, fold="spend")
    if tap != ADDED:
        return freeze(network), (network.channels,)
    return freeze(_enlarged(stages := _stages_of(network))), tuple(stage.channels for stage in stages)


def _stages_of(network: Network) -> list[Network]:
    """The network at each of its stages, the finest first."""
    with BUILDING:
        names = [name for name in network.stages() if name in STAGES]
    if len(names) < 2:
        raise SpecError(
            f"Expected a network with two or more of the stages {', '.join(STAGES)}. Received: {network.label}."
        )
    return [network.at(name) for name in names]


def _enlarged(stages: list[Network]) -> Network:
    """The channels of all stages, one behind the other, on the cells of the finest."""
    import keras

    finest = stages[0]
    if not isinstance(finest, KerasNetwork):
        raise SpecError(
            f"Expected a Keras model for a head on several stages. Received: {finest.label}, an ONNX file; choose one "
            f"of its stages, as {finest.tap.name}."
        )
    with BUILDING:
        tensors = [finest.tensor]
        for one in stages[1:]:
            times = round(one.tap.stride / finest.tap.stride)
            tensors.append(keras.layers.UpSampling2D(times)(one.tensor))
        tensor = keras.layers.Concatenate()(tensors)
    tap = replace(finest.tap, name=ADDED, channels=sum(one.channels for one in stages))
    return replace(finest, tensor=tensor, tap=tap)
