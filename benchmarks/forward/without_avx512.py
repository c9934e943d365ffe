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


def copy_packages(folder: Path) -> None:
    """Copy those of `PACKAGES` that are installed into a folder, so that they take no kernels for AVX512.

    Raises
    ------
    RuntimeError : a package never asks for registers of 512 bits, or is not one of Linux for x86
    """
    for package in PACKAGES:
        installed = find_spec(package)
        if installed is None or installed.origin is None:
            continue
        copy = folder / package
        shutil.copytree(Path(installed.origin).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
        asking = [library for library in copy.rglob("*.so*") if READ in library.read_bytes()]
        if not asking:
            raise RuntimeError(f"Expected {package} for Linux on x86. Received: {installed.origin}")
        for library in asking:
            library.write_bytes(library.read_bytes().replace(READ, ANSWER))


def import_copies(folder: Path) -> None:
    """Have this process import such copies, which stay in the folder as long as it runs.

    Raises
    ------
    RuntimeError : as of `copy_packages`, or a package is imported already
    """
    imported = sorted(sys.modules.keys() & set(PACKAGES))
    if imported:
        raise RuntimeError(f"Expected no runtime to be imported yet. Received: {imported}")
    copy_packages(folder)
    sys.path.insert(0, str(folder))


def main() -> None:
    """Write the copies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    copy_packages(parser.parse_args().folder)


if __name__ == "__main__":
    main()
