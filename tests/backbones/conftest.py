"""Nearly all tests of this folder need TensorFlow: it is imported as the commands do it, in two thirds of the time."""

from convfe_core.machine.tensorflow_import import import_tensorflow, keep_lean

keep_lean()
import_tensorflow(muted=True)
