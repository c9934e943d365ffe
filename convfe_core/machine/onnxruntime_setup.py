"""onnxruntime as it is set up here: quiet, on as many threads as there are cores, with one pool of memory for all."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from convfe_core.machine.machine_queue import MACHINE
from convfe_core.machine.processor import usable_cores

OPSET, IR_VERSION = 18, 9
"""Of ONNX 1.14, which every onnxruntime that is allowed here reads."""

SPIN_US = 20
"""Microseconds. A single image of MobileNetV2 took 4.3 ms with it, 5.9 without, EfficientNetB0 7.7 and 11.4 (2 cores);
runs whose other threads need the cores were slower by 1 to 3 %, with onnxruntime's own second by 4 to 20 %."""
_SHRINK = "memory.enable_memory_arena_shrinkage"


def session_options() -> Any:
    """The onnxruntime.SessionOptions of every session here.

    What goes wrong in one is raised, not logged. Its threads wait for each other busily for `SPIN_US`, as long as most
    waits between two layers last, and then sleep, because whatever else this process does needs the cores. Memory that
    a pass has used is kept for the next one of any session, until `return_pool`: to take it anew each time made passes
    of eight images half as slow again.
    """
    import onnxruntime

    _make_pool()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = usable_cores()
    options.add_session_config_entry("session.intra_op.spin_duration_us", str(SPIN_US))
    options.add_session_config_entry("session.force_spinning_stop", "1")  # at the end of a pass
    options.add_session_config_entry("session.use_env_allocators", "1")
    return options


def return_pool() -> None:
    """Return to the C library what passes have used and no session needs now; not while somebody else computes.

    That takes a pass of its own, and Python aborts if it ends while a thread is inside onnxruntime: the end of a server
    waits for who holds `MACHINE`, and for nobody else.
    """
    if "onnxruntime" not in sys.modules or not _make_pool.cache_info().currsize:
        return
    import numpy as np
    import onnxruntime

    shrink = onnxruntime.RunOptions()
    shrink.add_run_config_entry(_SHRINK, "cpu:0")
    with MACHINE.if_free() as free:
        if free:
            _smallest_session().run(None, {"x": np.zeros(1, np.float32)}, shrink)


@cache
def _make_pool() -> None:
    """Have onnxruntime take memory for all sessions from one pool."""
    import onnxruntime

    kind, place = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, onnxruntime.OrtMemType.DEFAULT
    onnxruntime.create_and_register_allocator(onnxruntime.OrtMemoryInfo("Cpu", kind, 0, place), None)


@cache
def _smallest_session() -> Any:
    """A session that does nothing: onnxruntime returns memory at the end of a run alone."""
    import onnxruntime
    from onnx import TensorProto, helper

    row = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "nothing", row[:1], row[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    return onnxruntime.InferenceSession(
        model.SerializeToString(), session_options(), providers=["CPUExecutionProvider"]
    )
