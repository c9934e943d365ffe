"""What passes of onnxruntime use goes back when it is asked for, whatever sessions there are."""

from tests.support.children import python

SESSIONS = """
import gc
import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from convfe_core.machine.memory import resident_mb
from convfe_core.machine.onnxruntime_setup import return_pool, session_options

def session():
    # Each of three maps of 64 MB is needed when the next is made.
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Softplus", ["a"], ["b"])]
    nodes += [helper.make_node("Mul", ["a", "b"], ["c"]), helper.make_node("ReduceMax", ["c"], ["y"], keepdims=0)]
    row = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])]
    graph = helper.make_graph(nodes, "maps", row, [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return onnxruntime.InferenceSession(model.SerializeToString(), session_options())

large, small = np.ones(2**24, np.float32), np.arange(4, dtype=np.float32)
first, second = session(), session()
expected = first.run(None, {"x": small})[0]
before = resident_mb()
"""


def test_before_any_session_there_is_nothing_to_return_and_nothing_is_imported() -> None:
    python(
        "-c",
        "import sys\n"
        "from convfe_core.machine.onnxruntime_setup import return_pool\n"
        "return_pool()\n"
        "assert 'onnxruntime' not in sys.modules\n"
        "import onnxruntime\n"
        "return_pool()",
    )


def test_memory_of_a_large_pass_is_returned_and_sessions_go_on() -> None:
    python(
        "-c",
        SESSIONS + "first.run(None, {'x': large})\n"
        "used = resident_mb() - before\n"
        "assert used > 100, used\n"
        "return_pool()\n"
        "kept = resident_mb() - before\n"
        "assert kept < used / 2, (used, kept)\n"
        "for one in (first, second):\n"
        "    assert one.run(None, {'x': small})[0] == expected\n"
        "again = first.run(None, {'x': large})[0]\n"
        "assert np.isclose(again, np.log1p(np.e)), again\n"
        "return_pool()\n"
        "assert resident_mb() - before < used / 2\n",
    )


def test_sessions_share_what_a_pass_has_used() -> None:
    python(
        "-c",
        SESSIONS + "first.run(None, {'x': large})\n"
        "used = resident_mb() - before\n"
        "second.run(None, {'x': large})\n"
        "assert resident_mb() - before < 1.5 * used\n"
        "del first\n"
        "gc.collect()\n"
        "return_pool()\n"
        "assert second.run(None, {'x': small})[0] == expected\n",
    )
