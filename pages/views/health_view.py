"""A network's health report: the verdict, every check, and what the network really receives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from convfe_core.catalog.specs import Spec
from convfe_core.inspection.health_report import HealthReport, examine
from convfe_core.machine.machine_queue import waiting_words
from convfe_core.maps.input_size import Size, check_pass
from convfe_core.photos.photo import Photo
from pages.app.compute_maps import load_network
from pages.app.session import HEALTH_REPORTS
from pages.app.words import listed, plain

STATES = {"fine": ":material/check_circle:", "look": ":material/visibility:", "bad": ":material/error:"}
MEANINGS = {
    "NaN and infinity": "Values that are no numbers. Everything computed from one is none either.",
    "Input scaling": "Pixels must enter as they did in training: 0..255, 0..1, -1..1 or ImageNet's mean and spread.",
    "Weights": "A layer whose filters are all zero passes nothing on; one whose filters are all equal sees one thing.",
    "Answer to the image": "Two different photographs must give two different maps.",
    "Collapse": "Effective rank: how many independent directions the cells' features fill, RankMe (arXiv 2210.02885). "
    "It is low where the channels all say the same.",
    "Dead channels": "Channels that are above zero on no cell of any image: they carry nothing.",
    "Constant channels": "Channels that show the same map whatever the image.",
    "Silent layers": "An activation whose channels are hardly ever above zero passes little of the image on.",
    "Saturation": "Values at the upper end of an activation with a cap cannot be told apart.",
    "Batch-norm statistics": "Each BatchNormalization keeps the mean and spread that it saw in training. Nats say how "
    "far those of your images are from them (Kullback-Leibler divergence): below 0.5 they fit.",
    "Border artefacts": "Whether cells on the border, where the network sees padding, are stronger than those inside.",
}
"""What each check of `convfe_core.inspection.health_checks` looks at, for a tooltip."""


def health_report(spec: Spec, size: Size, photos: Sequence[Photo]) -> HealthReport:
    """Make the report, once a session for the same network, size and photographs."""
    key = (spec, size, tuple(photo.digest for photo in photos))
    kept = HEALTH_REPORTS.get()
    if key not in kept:
        network = load_network(spec).network
        check_pass(network, max(photos, key=lambda photo: photo.width * photo.height), size)
        slot = st.empty()

        def tell(done: int, total: int) -> None:
            slot.progress(done / total, text=f"{plain(spec.label)}: examining image {done} of {total}")

        def wait(before: int) -> None:  # writing something lets Streamlit end this run when its visitor has left
            slot.progress(0.0, text=f"{plain(spec.label)}: {waiting_words(before)}")

        if len(kept) >= 8:
            kept.pop(next(iter(kept)))
        kept[key] = examine(network, photos, size, tell, wait)
        slot.empty()
    return kept[key]


def show_verdict(report: HealthReport) -> None:
    """Say in a sentence whether the network is in order, and what to look at first where it is not."""
    worst = report.checks[0].state
    show = {"bad": st.error, "look": st.warning, "fine": st.success}[worst]
    show(plain(report.verdict), icon=STATES[worst])


def show_checks(report: HealthReport) -> None:
    """Show every check, the worst first, and what the network receives."""
    left, right = st.columns([3, 1])
    with left:
        for check in report.checks:
            cause = f" *{plain(check.cause)}*" if check.cause else ""
            st.markdown(
                f"{STATES[check.state]} **{check.name}**: {plain(check.finding)}{cause}", help=MEANINGS[check.name]
            )
    with right:
        st.image(_visible(report.audit.picture), caption=_received(report), width=224)
    seen = report.statistics
    if len(seen.dead) or len(seen.ignoring):
        with st.expander("Channels by number"):
            for name, channels in (("Never above zero", seen.dead), ("The same for every image", seen.ignoring)):
                if len(channels):
                    st.caption(f"{name}: {listed(channels.tolist())}")


def _received(report: HealthReport) -> str:
    audit = report.audit
    inside = f", scaled inside by {', '.join(audit.scaled_by)}" if audit.scaled_by else ""
    return plain(
        f"What layer {audit.layer} receives: {audit.low:.3g} to {audit.high:.3g}, mean {audit.mean:.3g}, "
        f"deviation {audit.deviation:.3g}{inside}. Stretched to be seen; where the photograph does not fill the input, "
        "its edge is repeated."
    )


def _visible(picture: np.ndarray) -> np.ndarray:
    """(H, W, C) of any range to (H, W, 3) uint8."""
    values = np.nan_to_num(picture[..., :3] if picture.shape[-1] >= 3 else picture[..., :1].repeat(3, axis=-1))
    low, high = float(values.min()), float(values.max())
    return np.asarray((values - low) / max(high - low, 1e-12) * 255, np.uint8)
