"""A copy of onnxruntime that takes no kernels for AVX512 computes the same, up to rounding."""

from __future__ import annotations

import platform
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.forward.without_avx512 import import_copies
from tests.conftest import need

CHANNELS = 64
PROGRAM = f"""
import sys, tempfile
from pathlib import Path
import numpy as np
from benchmarks.forward.without_avx512 import READ, import_copies
with tempfile.TemporaryDirectory() as folder:
    if "capped" in sys.argv:
        import_copies(Path(folder))
    import onnxruntime
    from onnx import TensorProto, helper
    package = Path(onnxruntime.__file__).parent
    assert package.is_relative_to(folder) == ("capped" in sys.argv)
    assert any(READ in library.read_bytes() for library in package.rglob("*.so*")) == ("capped" not in sys.argv)
    shapes = {{"x": [1, {CHANNELS}, 16, 16], "kernel": [{CHANNELS}, {CHANNELS}, 3, 3]}}
    taken = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    given = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("Conv", ["x", "kernel"], ["y"])], "one", taken, [given])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    found = session.run(None, {{name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}})
    np.save(sys.argv[1], found[0])
"""


def test_a_copy_without_avx512_gives_the_same_up_to_rounding(tmp_path) -> None:
    need(sys.platform == "linux" and platform.machine() == "x86_64", "Linux on x86, whose libraries are changed")
    files = [tmp_path / f"{name}.npy" for name in ("plain", "capped")]
    for file in files:
        subprocess.run([sys.executable, "-c", PROGRAM, str(file), file.stem], check=True)
    plain, capped = map(np.load, files)
    assert np.ptp(plain) > CHANNELS
    np.testing.assert_allclose(capped, plain, rtol=1e-4, atol=1e-3)


def test_a_runtime_that_is_imported_already_is_not_copied(tmp_path) -> None:
    import onnxruntime

    with pytest.raises(RuntimeError, match=rf"Received: \['{onnxruntime.__name__}'\]"):
        import_copies(tmp_path)
    assert not list(tmp_path.iterdir())
