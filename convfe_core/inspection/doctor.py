"""What the program finds on this machine, each with ok or with what to do; it ends with a backbone that really runs.

Bug reports begin with it. It always ends: what cannot be found out is a finding too.
"""

from __future__ import annotations

import math
import os
import platform
import shutil
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from convfe_core.base.errors import SettingError
from convfe_core.base.wording import counted
from convfe_core.machine.onednn import CAP, SETTING, capped_to, switched_off
from convfe_core.machine.processor import instruction_sets, is_x86, usable_cores
from convfe_core.machine.versions import NOT_INSTALLED, installed_version

BACKBONE, SAMPLE = "TinyResNet", "chelsea"
"""What the pass at the end runs, and on which photograph."""
PYTHONS = ((3, 11), (3, 13))
"""The first and the last that this program is made for."""
LEAST_MB = 1000
"""TensorFlow and a small backbone fit into this."""
CHROMIUM = Path("/usr/bin/chromium")

_TELLING = ("avx", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "bf16", "sve")


@dataclass(frozen=True)
class Finding:
    """One fact about this machine.

    Attributes
    ----------
    topic : what it is about
    found : what is so
    advice : what to do; empty where all is well
    """

    topic: str
    found: str
    advice: str = ""

    @property
    def ok(self) -> bool:
        """Whether there is nothing to do."""
        return not self.advice


class Doctor:
    """Examines this machine once.

    Attributes
    ----------
    works : whether the pass at the end came out; False before it
    """

    def __init__(self) -> None:
        self.works = False

    def findings(self) -> Iterator[Finding]:
        """Everything that is looked at, one by one, because the last ones take some seconds."""
        for topic, look in self._looks().items():
            try:
                yield look(topic)
            except Exception as error:  # a machine on which something else is broken needs the rest all the more
                yield Finding(topic, "could not be found out", f"report this: {type(error).__name__}: {error}")

    def _looks(self) -> dict[str, Callable[[str], Finding]]:
        return {
            "CONV-FE": _program,
            "Python": _python,
            "Processor": _processor,
            "Memory": _memory,
            "TensorFlow": _tensorflow,
            "Keras": _keras,
            "oneDNN": _onednn,
            "fast": _fast,
            "Accelerators": _accelerators,
            "Weights": _weights,
            "ONNX": _onnx,
            "Ray": _ray,
            "Chromium": _chromium,
            "Graphviz": _graphviz,
            "A real pass": self._real_pass,
        }

    def _real_pass(self, topic: str) -> Finding:
        """Run a built-in backbone on a sample photograph, behind whatever else runs in this process."""
        from convfe_core.backbones.backbone import load_backbone
        from convfe_core.catalog.specs import parse_spec
        from convfe_core.machine.machine_queue import MACHINE
        from convfe_core.maps.extraction import extract_maps
        from convfe_core.maps.input_size import parse_size
        from convfe_core.photos.gallery import load_sample

        start = time.perf_counter()
        try:
            with MACHINE.passing():
                backbone = load_backbone(parse_spec(BACKBONE))
                (maps,) = extract_maps(backbone, [load_sample(SAMPLE)], parse_size("own"))
        except Exception as error:
            return Finding(
                topic, f"failed, {type(error).__name__}: {error}", "look above for the cause, or report all of this"
            )
        if not all(math.isfinite(float(values.sum())) for values in (maps.max, maps.mean)):
            return Finding(topic, f"{BACKBONE} computed maps that are not finite", "report all of this")
        self.works = True
        height, width = maps.max.shape
        seconds = time.perf_counter() - start
        return Finding(
            topic, f"{BACKBONE} on “{SAMPLE}”: maps of {height} x {width} cells, {seconds:.1f} s with loading it"
        )


def as_text(findings: Iterable[Finding]) -> Iterator[str]:
    """Findings as lines for a terminal or a bug report."""
    for one in findings:
        yield f"{'ok' if one.ok else '--':4}{one.topic:14}{one.found}"
        if one.advice:
            yield f"{'':18}-> {one.advice}"


def _program(topic: str) -> Finding:
    version = installed_version("convfe")
    folder = Path(__file__).parent
    if version == NOT_INSTALLED:
        return Finding(topic, f"run from {folder}, not installed", "pip install -e . there, for the command `convfe`")
    return Finding(topic, f"{version}, {folder}")


def _python(topic: str) -> Finding:
    bits = 8 * struct.calcsize("P")
    found = f"{platform.python_version()}, {bits} bits, {platform.system()} {platform.release()}, {platform.machine()}"
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1] or bits != 64:
        first, last = (".".join(map(str, version)) for version in PYTHONS)
        return Finding(topic, found, f"use Python {first} to {last} of 64 bits")
    return Finding(topic, found)


def _processor(topic: str) -> Finding:
    sets = instruction_sets()
    telling = [name.upper() for name in _TELLING if name in sets]
    told = ", ".join(telling) if telling else "this system does not tell its instruction sets"
    found = f"{platform.machine()}, {usable_cores()} cores; {told}"
    if is_x86() and sets and "avx" not in sets:
        return Finding(topic, found, "TensorFlow's packages need AVX and stop without it; use another machine")
    return Finding(topic, found)


def _memory(topic: str) -> Finding:
    from convfe_core.machine.memory import memory_limit, resident_mb

    limit, source = memory_limit()
    found = f"{limit:,.0f} MB may be used ({source}), {resident_mb():,.0f} MB are"
    if limit < LEAST_MB:
        return Finding(topic, found, f"give it {LEAST_MB:,} MB or more; two gigabytes serve the usual backbones")
    return Finding(topic, found)


def _tensorflow(topic: str) -> Finding:
    from convfe_core.machine.tensorflow_import import import_tensorflow

    version = installed_version("tensorflow")
    start = time.perf_counter()
    try:
        import_tensorflow(muted=True)
    except SettingError:  # it was imported; Keras tells
        pass
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        return Finding(topic, f"{version}, cannot be imported: {said}", "install CONV-FE again in a new environment")
    return Finding(topic, f"{version}, imported in {time.perf_counter() - start:.1f} s")


def _keras(topic: str) -> Finding:
    from convfe_core.machine.tensorflow_import import import_tensorflow

    version = installed_version("keras")
    try:
        import_tensorflow()
    except SettingError as error:
        return Finding(topic, version, str(error))
    return Finding(topic, f"{version} on TensorFlow")


def _onednn(topic: str) -> Finding:
    from convfe_core.machine.memory import tensor_memory

    on, named = tensor_memory() is not None, os.environ.get(SETTING)
    found = f"{'on' if on else 'off'} ({SETTING}={named})" if named is not None else "on" if on else "off"
    if cap := capped_to():
        found += f", may use no more than {cap} ({CAP})"
    if not on and is_x86():
        why = f"unset {SETTING}" if switched_off() else "import convfe_core before tensorflow"
        return Finding(topic, found, f"{why}: with it most backbones are faster")
    return Finding(topic, found)


def _fast(topic: str) -> Finding:
    from convfe_core.backbones.precision import explain_precision

    return Finding(topic, f"--precision fast means {explain_precision('fast')}")


def _accelerators(topic: str) -> Finding:
    import tensorflow as tf

    seen = [device.name for device in tf.config.list_physical_devices() if device.device_type != "CPU"]
    return Finding(topic, ", ".join(seen) if seen else "TensorFlow sees none, the processor computes")


def _weights(topic: str) -> Finding:
    from convfe_core.catalog.specs import CATALOG
    from convfe_core.model_files.weight_cache import keras_cache_dir, keras_home, weights_state

    folder = keras_cache_dir()
    fetched = [a for a in CATALOG.values() if a.weight_file is not None and weights_state(a).ready]
    names = ", ".join(a.name for a in fetched[:6]) + (", …" if len(fetched) > 6 else "")
    found = f"{folder / 'models'} holds those of {counted(len(fetched), 'network')}{f' ({names})' if names else ''}"
    if folder != keras_home():
        return Finding(topic, f"{found}; {keras_home()} cannot be written", "set KERAS_HOME to a folder that can be")
    return Finding(topic, found)


def _onnx(topic: str) -> Finding:
    versions = {name: installed_version(name) for name in ("onnx", "onnxruntime")}
    missing = NOT_INSTALLED in versions.values()
    return Finding(topic, ", ".join(map(" ".join, versions.items())), "pip install -e ." if missing else "")


def _ray(topic: str) -> Finding:
    version = installed_version("ray")
    return _optional(topic, None if version == NOT_INSTALLED else version, "--engine ray", 'pip install "convfe[ray]"')


def _chromium(topic: str) -> Finding:
    found = str(CHROMIUM) if CHROMIUM.exists() else shutil.which("chromium")
    return _optional(topic, found, "the tests of the browser", "apt-get install chromium")


def _graphviz(topic: str) -> Finding:
    dot, pydot = shutil.which("dot"), installed_version("pydot")
    found = None if dot is None or pydot == NOT_INSTALLED else f"{dot}, pydot {pydot}"
    how = 'apt-get install graphviz; pip install "convfe[plot]"'
    return _optional(topic, found, "Keras' own drawing of every layer", how)


def _optional(topic: str, found: str | None, purpose: str, install: str) -> Finding:
    if found is None:
        return Finding(topic, f"{NOT_INSTALLED}; only {purpose} needs it", install)
    return Finding(topic, found)
