"""Rank: which backbone separates the objects in the boxes, how sure that is, and what it costs."""

from __future__ import annotations

import streamlit as st

from convfe_core.base.errors import ConvfeError
from convfe_core.base.pace import Progress, duration
from convfe_core.base.wording import counted
from convfe_core.machine.processor import usable_cores
from convfe_core.ranking.results import RankOptions
from convfe_core.ranking.run import RankRun
from convfe_core.ranking.sentence import FEWEST_IMAGES
from convfe_core.trial.trial_run import expected_minutes
from pages.app.navigation import enter
from pages.app.process import backbone_pool
from pages.app.session import RANK_RUN, RANKED, RANKED_AS
from pages.app.words import plain, show_error, told
from pages.sidebar.choose_backbones import choose_backbones, choose_precision, choose_size
from pages.sidebar.choose_dataset import choose_dataset, offer_samples, show_dataset
from pages.views.rank_results import show_result

enter()

st.title("Rank", anchor=False)

with st.sidebar:
    dataset = choose_dataset()
    specs = choose_backbones()
    size = choose_size()
    precision = choose_precision()
    st.subheader("What to compute", anchor=False)
    control = st.toggle(
        "Untrained controls",
        value=True,
        key="rank_control",
        persist_state="session",
        help="The same architectures with random weights, three seeds: what a map finds without any training.",
    )
    probe = st.toggle(
        "Probes",
        value=True,
        key="rank_probe",
        persist_state="session",
        help="Cell probe: can a linear combination of channels show the boxes? Box probe: can their classes be told "
        "apart by the features in them? Both are asked on images that they did not learn from.",
    )

    minutes = expected_minutes(dataset, specs, control=control, cores=usable_cores()) if dataset and specs else None
    trial = st.toggle(
        "Try a small detector" + (f", about {counted(minutes, 'minute')}" if minutes else ""),
        value=False,
        key="rank_trial",
        persist_state="session",
        help="Trains a small detection head on each backbone's frozen features and tries it on images that it has not "
        "seen, in five folds: the answer where S and the probes are only a guess.",
    )

if dataset is None:
    st.info(
        "Bring images whose objects are marked with boxes (Pascal VOC, YOLO or COCO) in the sidebar, or mark objects "
        "on Compare. This page then says which backbone separates your objects best, how sure that is, and what it "
        f"costs. It names a winner from {FEWEST_IMAGES} images on.",
        icon=":material/add_photo_alternate:",
    )
    offer_samples()
    st.caption(
        "- **Pascal VOC**: `a.jpg` and `a.xml` side by side, or in `JPEGImages` and `Annotations`\n"
        "- **YOLO**: `a.jpg` and `a.txt`, or `images/a.jpg` and `labels/a.txt`, with `data.yaml` or `classes.txt` for "
        "class names; boxes, polygons, turned boxes and poses\n"
        "- **COCO**: images and JSON files, such as `instances_val.json`; boxes, outlines, masks and keypoints"
    )
    st.stop()

show_dataset(dataset)
if len(dataset.images) < FEWEST_IMAGES:
    st.caption(f"A first look: a winner is named from {FEWEST_IMAGES} images on.")
if not specs:
    st.info("Choose at least one backbone in the sidebar.", icon=":material/layers:")
    st.stop()

options = RankOptions(size=size, probe=probe, control=control, precision=precision, trial=trial)
asked = (dataset, tuple(specs), options)

interrupted = RANK_RUN.take()
if interrupted is not None:
    if interrupted.results:
        RANKED.set(interrupted.finish())
    finished = len(interrupted.results)
    st.warning(
        f"The run was stopped after {finished} of {len(interrupted.specs)} backbones; what was finished is kept.",
        icon=":material/stop_circle:",
    )

with st.container(horizontal=True, vertical_alignment="center"):
    start = st.button(f"Rank {counted(len(specs), 'backbone')}", type="primary", key="rank_start")
    stop_slot = st.empty()

if start:
    RANKED.set(None)
    RANKED_AS.set(asked)
    bar = st.progress(0.0, text="Starting …")

    def report(progress: Progress) -> None:
        """Say what is happening and how long it will take."""
        left = f", about {duration(progress.seconds_left)} left" if progress.seconds_left else ""
        bar.progress(progress.share, text=f"{plain(progress.who)}: {progress.doing}{left}")

    run = RankRun(dataset, specs, options, on_progress=report, make_room=backbone_pool().make_room, explain=told)
    RANK_RUN.set(run)  # the stop button ends this script here; the next one picks up what is finished
    stop_slot.button("Stop", icon=":material/stop:", key="rank_stop")
    try:
        RANKED.set(run.run())
    except ConvfeError as error:
        show_error(error)
    RANK_RUN.take()
    bar.empty()
    stop_slot.empty()

result = RANKED.get()
if result is not None:
    if RANKED_AS.get() != asked:
        st.warning(
            "What follows was ranked before you changed the images, the backbones or the settings; rank again.",
            icon=":material/history:",
        )
    show_result(result)
