"""TensorFlow and Keras imported in the background before the first network, after all work that somebody waits for."""

from __future__ import annotations

import threading
import time

from convfe_core.machine.machine_queue import MACHINE
from convfe_core.machine.memory import tensorflow_imported
from convfe_core.machine.tensorflow_import import import_tensorflow
from convfe_core.serving.fault_log import LOGGER

DELAY_S = 2.0
"""By then a browser has fetched and drawn the page, which it would do more slowly beside a busy process."""


def start_warm_up(delay_s: float = DELAY_S) -> threading.Timer:
    """Import TensorFlow and Keras on a thread that does not keep the process from ending."""
    timer = threading.Timer(delay_s, _warm_up)
    timer.daemon = True
    timer.name = "convfe-warm-up"
    timer.start()
    return timer


def _warm_up() -> None:
    """Import them while nothing is loaded or run; whoever needs them will report what is wrong with them."""
    start = time.perf_counter()
    try:
        with MACHINE.passing(counts=False):
            if tensorflow_imported():
                return
            import_tensorflow()
    except Exception as error:
        LOGGER.warning("TensorFlow could not be imported ahead of time: %s", error)
    else:
        LOGGER.info("TensorFlow was imported ahead of time in %.1f s", time.perf_counter() - start)
