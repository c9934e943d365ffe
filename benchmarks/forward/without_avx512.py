"""Runtimes as they are on a processor without AVX512.

TensorFlow's oneDNN obeys ``ONEDNN_MAX_CPU_ISA``; onnxruntime, and what OpenVINO multiplies matrices with, ask the
processor. Before they use registers of 512 bits they read, with the instruction ``xgetbv``, which ones the system
keeps. In a copy of their libraries another instruction of the same length takes the place of that one and says: those
of 256 bits and less. So they take their kernels for AVX2.

    python -m benchmarks.forward.without_avx512 FOLDER

writes such copies, for `PYTHONPATH`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("onnxruntime", "openvino")
READ = b"\x0f\x01\xd0"
"""``xgetbv``: what the system keeps comes into the register eax, a bit for each kind."""
ANSWER = b"\xb0\x07\x90"
"""``mov al, 7; nop``: the x87 registers, those of SSE and those of AVX."""


def copy_without_avx512(package: str, folder: Path) -> None:
    """Copy an installed package into a folder, so that it takes no kernels for AVX512."""
    installed = find_spec(package)
    assert installed is not None
    assert installed.origin is not None
    copy = folder / package
    shutil.copytree(Path(installed.origin).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for library in copy.rglob("*.so*"):
        library.write_bytes(library.read_bytes().replace(READ, ANSWER))


def import_without_avx512(package: str, folder: Path) -> None:
    """Have this process import such a copy of a package.

    Parameters
    ----------
    folder : where the copy goes, and stays as long as the process

    Raises
    ------
    RuntimeError : the package is imported already
    """
    if package in sys.modules:
        raise RuntimeError(f"Expected {package} not to be imported yet. Received: it is")
    copy_without_avx512(package, folder)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def main() -> None:
    """Write the copies of what is installed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for package in PACKAGES:
        if find_spec(package) is not None:
            copy_without_avx512(package, folder)


if __name__ == "__main__":
    main()
