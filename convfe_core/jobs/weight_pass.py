"""A pass: one set of weights that photographs are run under, a backbone's own or those of an untrained control."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from convfe_core.backbones.network import Loaded, Network, load_as
from convfe_core.catalog.specs import Spec, control_of


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
        return f"{control_of(self.spec).text}@{self.seed}{' centred' if self.trained else ''}"

    @property
    def trained(self) -> bool:
        """Whether the backbone's weights are."""
        return self.spec.weights not in ("untrained", "control")

    def load(
        self,
        make: Callable[[Network], Loaded],
        tap: str,
        make_room: Callable[[Spec], None],
        tell: Callable[[str], None],
    ) -> Loaded:
        """Load the network as what is made of it; a control's on the very cells of its backbone.

        Arguments and errors as in `convfe_core.backbones.network.load_as`.
        """
        if self.seed is None:
            return load_as(make, self.spec, tap, make_room=make_room, on_progress=lambda phrase, _share: tell(phrase))

        def make_control(network: Network) -> Loaded:
            path = network.path.centred(*network.native_input) if self.trained else network.path
            return make(replace(network, path=path))

        control = control_of(self.spec)  # room is made in the name of the backbone, which people know
        return load_as(make_control, control, tap, seed=self.seed, make_room=lambda _control: make_room(self.spec))


def shown(spec: Spec) -> str:
    """What a backbone is called among others: paths of a user's own models are left out."""
    return spec.label if spec.own else spec.text
