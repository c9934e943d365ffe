"""What a backbone costs on this machine: parameters, floating-point operations, time and memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.machine.memory import give_back, used_mb
from convfe_core.machine.tensorflow_import import import_tensorflow

BATCHES = (1, 8)
SECONDS = 0.3
"""How long one batch size is timed. Medians of twice as long vary as much from one time to the next, by 1 to 3 %."""
FEWEST_RUNS, MOST_RUNS = 5, 30
_WARM_UPS = 2
_SAMPLE_SECONDS = 0.01


@dataclass(frozen=True)
class Latency:
    """Milliseconds per image of one batch size: median, 95th percentile, and over how many runs."""

    batch: int
    median: float
    p95: float
    runs: int


@dataclass(frozen=True)
class Cost:
    """What a backbone costs.

    Attributes
    ----------
    params : parameters up to the tapped layer, so without a head
    flops : floating-point operations for one image of the size below, a multiply-add counting as two
    input_height, input_width : the size at which operations and time were counted
    cells : of its map at that size
    latency : for each batch size
    memory_mb : peak memory that loading and running it added to the process
    """

    params: int
    flops: int
    input_height: int
    input_width: int
    cells: int
    latency: tuple[Latency, ...]
    memory_mb: float


def warm_up() -> None:
    """Import TensorFlow and run a convolution, so that what happens only once is charged to no backbone."""
    import_tensorflow()
    import tensorflow as tf

    noise = tf.random.stateless_uniform((8, 64, 64, 8), (0, 0))
    tf.function(tf.nn.conv2d)(noise, noise[0, :3, :3, :, None] * tf.ones((8,)), 1, "SAME")


def time_batches(
    run: Callable[[NDArray[np.uint8]], Any],
    height: int,
    width: int,
    *,
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.perf_counter,
    turn: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> tuple[Latency, ...]:
    """Time a backbone on noise of one size, in batches of 1 and 8.

    Parameters
    ----------
    run : takes (N, height, width, 3) uint8
    seconds : for each batch size, warm-up not counted; never fewer than `FEWEST_RUNS` runs
    turn : entered before each run; what it waits for is not counted
    """
    noise = np.random.default_rng(0).integers(0, 256, (max(BATCHES), height, width, 3), np.uint8)

    def once(batch: NDArray[np.uint8]) -> float:
        with turn():
            start = clock()
            run(batch)
            return clock() - start

    found = []
    for batch in (noise[:count] for count in BATCHES):
        for _ in range(_WARM_UPS):
            once(batch)
        times: list[float] = []
        while len(times) < FEWEST_RUNS or (sum(times) < seconds and len(times) < MOST_RUNS):
            times.append(once(batch))
        each = 1000 * np.array(times) / len(batch)
        found.append(Latency(len(batch), float(np.median(each)), float(np.quantile(each, 0.95)), len(times)))
    return tuple(found)


class PeakMemory:
    """Watches how much memory the process uses while a block runs, see `convfe_core.machine.memory.used_mb`."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._start = self._peak = 0.0

    def __enter__(self) -> PeakMemory:
        give_back()
        self._start = self._peak = used_mb()
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._peak = max(self._peak, used_mb())

    @property
    def added_mb(self) -> float:
        """The most that was seen in the block so far, less what was used at its start."""
        return self._peak - self._start

    def _watch(self) -> None:
        while not self._stop.wait(_SAMPLE_SECONDS):
            self._peak = max(self._peak, used_mb())
