"""A pass: one set of weights that photographs are run under, a backbone's own or those of an untrained control."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

from convfe_core.backbones.network import Loaded, Network, load_as
from convfe_core.catalog.specs import Spec, control_of
from convfe_core.machine.machine_queue import MACHINE, waiting_words
from convfe_core.model_files.saved_model_folder import model_stamp
from convfe_core.model_files.weight_cache import weight_path


@dataclass(frozen=True)
class Pass:
    """One set of weights that photographs are run under.

    Attributes
    ----------
    spec : the backbone's, also of its controls
    seed : of an untrained control, None for the backbone itself
    """

    spec: Spec
    seed: int | None = None

    @property
    def name(self) -> str:
        """What shards name it by; backbones with the same control share it."""
        if self.seed is None:
            return self.spec.text
        return f"{control_of(self.spec).text}@{self.seed}{' centred' if self.spec.trained else ''}"

    @property
    def stamp(self) -> list[str | None]:
        """What its results depend on besides its name: the user's file as it is now, and how it is read."""
        spec = self.spec
        return ["" if spec.path is None else model_stamp(spec.path), spec.preprocessing, spec.layer]

    def load(
        self,
        make: Callable[[Network], Loaded],
        tap: str,
        make_room: Callable[[Spec], None],
        tell: Callable[[str], None],
        *,
        alone: bool = False,
        untrained: Callable[[int], Network] | None = None,
    ) -> Loaded:
        """Load the network as what is made of it; a control's on the very cells of its backbone.

        Its weights are fetched first, while others may compute; then it waits until nobody else of this process loads
        or runs anything, unless it is `alone`. Others and errors as in `convfe_core.backbones.network.load_as`.

        Parameters
        ----------
        untrained : for a control, what `Network.untrained` gave of its backbone or another control
        """
        turn = nullcontext() if alone else my_turn(tell)

        def report(phrase: str, _share: float | None) -> None:
            tell(phrase)

        if self.seed is None:
            weight_path(self.spec, report)
            with turn:
                return load_as(make, self.spec, tap, make_room=make_room, on_progress=report, variables=False)

        control = control_of(self.spec)  # room is made in the name of the backbone, which people know

        def make_control(network: Network) -> Loaded:
            path = network.path.centred(*network.native_input) if self.spec.trained else network.path
            return make(replace(network, label=control.label, path=path))

        with turn:
            return load_as(
                make_control,
                control,
                tap,
                seed=self.seed,
                make_room=lambda _control: make_room(self.spec),
                variables=False,
                untrained=untrained,
            )


@contextmanager
def my_turn(tell: Callable[[str], None], doing: str | None = None) -> Iterator[None]:
    """Say what is done, and wait until nobody else of this process loads or runs anything."""
    if doing is not None:
        tell(doing)
    with MACHINE.passing(lambda before: tell(waiting_words(before))):
        yield


def shown(spec: Spec) -> str:
    """What a backbone is called among others: paths of a user's own models are left out."""
    return spec.label if spec.own else spec.text
