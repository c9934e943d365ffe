"""A pattern of TensorFlow operations, and every way to read an operation as its last one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from convfe_core.engine.onnx_writer import Value
from convfe_core.engine.operation_call import OperationCall

SUM = "Add AddV2"
_COMMUTATIVE = ("Add", "AddV2", "Mul", "SquaredDifference")


@dataclass(frozen=True)
class Pattern:
    """A value by the operation that made it.

    Attributes
    ----------
    types : names of the operation, one or several
    inputs : what made each, or a name for any value. What has one name in a pattern must be one value
    name : of this value, if any
    """

    types: str
    inputs: tuple[Pattern | str, ...]
    name: str = ""


@dataclass(frozen=True, eq=False)
class PatternMatch:
    """What the names of a pattern stand for."""

    values: dict[str, Value]

    def get(self, name: str, default: Value) -> Value:
        """What a name stands for, if the pattern has it."""
        return self.values.get(name, default)

    def __getitem__(self, name: str) -> Value:
        return self.values[name]

    def call(self, name: str) -> OperationCall:
        """The operation that a value came from, which the pattern says."""
        call = self.values[name].call
        assert call is not None
        return call

    def named(self, name: str, value: Value) -> PatternMatch | None:
        """The same with one more name, or none where it stands for another value."""
        if not name:
            return self
        known = self.values.get(name, value)
        return PatternMatch({**self.values, name: value}) if known is value else None


def matches(pattern: Pattern, call: OperationCall) -> Iterator[PatternMatch]:
    """Every way to read an operation as the last one of a pattern."""
    return _match_operation(pattern, call, PatternMatch({}))


def _match_operation(pattern: Pattern, call: OperationCall, found: PatternMatch) -> Iterator[PatternMatch]:
    if call.operation.type not in pattern.types.split() or len(call.inputs) != len(pattern.inputs):
        return
    yield from _match_inputs(pattern.inputs, call.inputs, found)
    if call.operation.type in _COMMUTATIVE:
        yield from _match_inputs(pattern.inputs, call.inputs[::-1], found)


def _match_inputs(
    parts: Sequence[Pattern | str], values: Sequence[Value], found: PatternMatch
) -> Iterator[PatternMatch]:
    if not parts:
        yield found
        return
    for more in _match_value(parts[0], values[0], found):
        yield from _match_inputs(parts[1:], values[1:], more)


def _match_value(part: Pattern | str, value: Value, found: PatternMatch) -> Iterator[PatternMatch]:
    more = found.named(part if isinstance(part, str) else part.name, value)
    if more is None:
        return
    if isinstance(part, str):
        yield more
    elif value.call is not None:
        yield from _match_operation(part, value.call, more)
