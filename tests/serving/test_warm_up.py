"""TensorFlow is imported ahead of time, behind whatever somebody waits for."""

import pytest

from tests.support.children import python


def _run(code: str) -> str:
    return python("-c", code).stdout


def test_a_half_imported_tensorflow_is_not_used() -> None:
    code = """
import importlib.machinery, sys, types
from convfe_core.catalog.specs import parse_spec
from convfe_core.catalog.memory_need import TENSORFLOW_MB, peak_mb
from convfe_core.machine.memory import tensorflow_imported, used_mb
module = sys.modules["tensorflow"] = types.ModuleType("tensorflow")
module.__spec__ = importlib.machinery.ModuleSpec("tensorflow", None)
ready, to_come = tensorflow_imported(), peak_mb(parse_spec("TinyResNet"))
module.__spec__._initializing = True
print(ready, tensorflow_imported(), peak_mb(parse_spec("TinyResNet")) - to_come == TENSORFLOW_MB, used_mb() > 0)
"""
    assert _run(code).split() == ["True", "False", "True", "True"]


@pytest.mark.slow
def test_the_warm_up_imports_tensorflow_and_a_network_loaded_meanwhile_waits_for_it() -> None:
    code = """
import sys, threading
from convfe_core.machine.memory import tensorflow_imported, used_mb
from convfe_core.catalog.specs import parse_spec
from convfe_core.serving.backbone_pool import BackbonePool
from convfe_core.serving.warm_up import start_warm_up
thread = start_warm_up(0)
assert thread.daemon  # which keeps no process alive

def watch():
    while thread.is_alive():
        used_mb()  # at every moment of the import
        thread.join(0.01)
    print(tensorflow_imported(), 'keras' in sys.modules)

watching = threading.Thread(target=watch)
watching.start()
label = BackbonePool(1000).get(parse_spec('TinyResNet')).label
watching.join()
print(label)
"""
    assert _run(code).split() == ["True", "True", "TinyResNet"]


def test_a_broken_tensorflow_raises_nothing() -> None:
    code = """
import sys
sys.modules['tensorflow'] = sys.modules['keras'] = None
from convfe_core.machine.machine_queue import MACHINE
from convfe_core.serving.warm_up import start_warm_up
start_warm_up(0).join()
print('went on', MACHINE.passed)
"""
    assert _run(code).split() == ["went", "on", "0"]  # nor does it count as a network that is loaded or run
