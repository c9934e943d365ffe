"""onnxruntime as it is on a processor without AVX512.

oneDNN obeys ``ONEDNN_MAX_CPU_ISA``; onnxruntime asks the processor. Before it uses registers of 512 bits it reads,
with the instruction ``xgetbv``, which ones the system keeps. In a copy of its libraries another instruction of the same
length takes the place of that one and says: those of 256 bits and less. So it takes its kernels for AVX2.
"""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

READ = b"\x0f\x01\xd0"
"""``xgetbv``: what the system keeps comes into the register eax, a bit for each kind."""
ANSWER = b"\xb0\x07\x90"
"""``mov al, 7; nop``: the x87 registers, those of SSE and those of AVX."""


def cap_onnxruntime(folder: Path) -> None:
    """Have this process import a copy of onnxruntime that takes no kernels for AVX512.

    Parameters
    ----------
    folder : where the copy goes, and stays as long as the process

    Raises
    ------
    RuntimeError : onnxruntime is imported already
    """
    if "onnxruntime" in sys.modules:
        raise RuntimeError("Expected onnxruntime not to be imported yet. Received: it is")
    installed = find_spec("onnxruntime")
    assert installed is not None
    assert installed.origin is not None
    copy = folder / "onnxruntime"
    shutil.copytree(Path(installed.origin).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for library in copy.rglob("*.so*"):
        library.write_bytes(library.read_bytes().replace(READ, ANSWER))
    sys.path.insert(0, str(folder))
