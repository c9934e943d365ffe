"""The sidebar's place for models of one's own: which file, how its pixels are scaled, which layer is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from convfe_core.base.errors import ConvfeError, MemoryLimitError, SpecError, WeightsAloneError
from convfe_core.catalog.architectures import Preprocessing
from convfe_core.catalog.pixel_scaling import SCALING_WORDS, SCALINGS, ScalingGuess
from convfe_core.catalog.specs import CATALOG, Spec, parse_spec
from convfe_core.machine.machine_queue import MACHINE
from convfe_core.model_files.saved_model_folder import model_stamp
from convfe_core.user_models.model_card import ModelCard, card_of
from pages.app.process import backbone_pool
from pages.app.session import MODEL_CARDS, MODEL_SHELF
from pages.app.visitor import allowance
from pages.app.words import plain, show_error, told
from pages.sidebar.model_shelf import ModelShelf

MODEL_TYPES = ["keras", "h5", "hdf5", "zip", "onnx", "data", "onnx_data"]


@dataclass(frozen=True)
class WeightsAlone:
    """A file of weights without a model, and the architecture that they seem to belong to."""

    guess: str | None


OpenedFile = ModelCard | WeightsAlone | str
"""What a model file holds, or the sentence that says why it cannot be opened."""


def choose_own_models(named: Sequence[Spec] = ()) -> list[Spec]:
    """Ask for model files; say in one line each what could not be opened.

    Parameters
    ----------
    named : models that were named elsewhere, as ``LABEL=path``
    """
    allowed = allowance()
    with st.expander("Your own model", icon=":material/upload_file:", expanded=bool(named)):
        uploads = st.file_uploader(
            "Model or weight files",
            type=MODEL_TYPES,
            accept_multiple_files=True,
            key="model_files",
            max_upload_size=int(allowed.model_mb),
            help="A .keras or .h5 file of Keras 2 or 3, a SavedModel as a zip, an .onnx file of PyTorch or others with "
            "its .onnx.data, where it has one, or weights of a known backbone. No code in them is ever run: files that "
            "need some are refused.",
        )
        place = ""
        if allowed.this_machine:
            place = st.text_input(
                "File or folder on this machine",
                key="model_path",
                placeholder="LABEL=runs/best.keras",
                persist_state="session",
            ).strip()
        specs: list[Spec] = []
        for spec in [*named, *_uploaded(uploads), *_at(place)]:
            chosen = _choose(_with_unused_label(spec, [one.label for one in specs]))
            if chosen is not None:
                specs.append(chosen)
    return specs


def _uploaded(uploads: Sequence[UploadedFile]) -> Iterator[Spec]:
    """The models that were uploaded in this session, on whatever page, and not removed."""
    shelf = MODEL_SHELF.get() or ModelShelf(allowance().most_models, backbone_pool().forget)
    MODEL_SHELF.set(shelf)
    try:
        shelf.add(uploads)
    except ConvfeError as error:
        show_error(error, icon=":material/broken_image:")
    for key, path in shelf.files.items():
        if st.button(f"Remove {plain(path.name)}", key=f"remove-{key}", icon=":material/close:", type="tertiary"):
            shelf.remove(key)
        else:
            yield _spec_of(path)


def _at(place: str) -> Iterator[Spec]:
    if not place:
        return
    try:
        spec = parse_spec(place) if "=" in place else _spec_of(Path(place))
        if not spec.own:
            raise SpecError(f"Expected LABEL=path/to/model.keras or LABEL=path/to/model.onnx. Received: {place!r}.")
        yield spec
    except ConvfeError as error:
        show_error(error, icon=":material/search_off:")


def _spec_of(path: Path) -> Spec:
    label = path.name.split(".")[0] or "model"
    return Spec(label.replace(":", "_").replace("=", "_"), "model", path.expanduser())


def _with_unused_label(spec: Spec, taken: Sequence[str]) -> Spec:
    name, number = spec.name, 2
    while spec.label in taken:
        spec, number = replace(spec, name=f"{name} {number}"), number + 1
    return spec


def _choose(spec: Spec) -> Spec | None:
    """Show what a file holds and ask what it does not say; None where it cannot be opened."""
    spec = replace(spec, stamp=model_stamp(spec.path) if spec.path else "")
    card = _card(spec)
    if isinstance(card, str):
        show_error(card, icon=":material/broken_image:")
        return None
    if isinstance(card, WeightsAlone):
        return _with_architecture(spec, card)
    what = f"its layers are those of {card.recognised}, " if card.recognised else ""
    size = f", made for {card.native[1]} × {card.native[0]} pixels" if card.native else ""
    count = f"{card.parameters / 1e6:.2f} M" if card.parameters >= 1e5 else f"{card.parameters:,}"
    facts = f"{what}{count} parameters{size}; opened by {card.opened_with}"
    st.caption(f"**{plain(spec.label)}**: {facts}")
    with st.container(horizontal=True):
        mode = _choose_scaling(card.scaling.mode, key=f"scaling-{spec.label}-{spec.stamp}")
        layer = st.selectbox(
            "Its layer",
            ["auto", *card.stages, *reversed(card.layers)],
            format_func=_layer_words(card).__getitem__,
            key=f"layer-{spec.label}-{spec.stamp}",
            persist_state="session",
            help=f"{card.channels} channels, stride {card.stride} at the last map. Left out as head: "
            f"{plain(', '.join(card.head[:6])) or 'nothing'}.",
        )
    _show_guess(mode, card.scaling)
    for note in card.notes:
        st.caption(plain(note))
    return replace(spec, preprocessing=mode, layer=layer or "auto")


def _layer_words(card: ModelCard) -> dict[str, str]:
    """What the choices of a layer are called: stages with the layer that ends them, layers as they are."""
    stages = {name: f"{name}: {layer}" for name, layer in card.stages.items()}
    return {name: name for name in card.layers} | stages | {"auto": f"{card.layer} (last)"}


def _with_architecture(spec: Spec, weights: WeightsAlone) -> Spec | None:
    """Ask which architecture weights belong to; None as long as nobody knows."""
    names = list(CATALOG)
    name = st.selectbox(
        f"Architecture of {plain(spec.label)}",
        names,
        index=names.index(weights.guess) if weights.guess else None,
        placeholder="Choose one",
        key=f"architecture-{spec.label}-{spec.stamp}",
        persist_state="session",
        help="The file holds weights without their architecture. A classifier's head in it does no harm. "
        "A network that is none of these must be saved as a whole model.",
    )
    if name is None:
        return None
    reason = f"as {name} takes them; scaling layers of the file's own are left out"
    guess = ScalingGuess(CATALOG[name].preprocessing, reason)
    mode = _choose_scaling(guess.mode, key=f"scaling-{spec.label}-{spec.stamp}-{name}")
    _show_guess(mode, guess)
    return replace(spec, name=name, weights="file", preprocessing=mode)


def _choose_scaling(guess: Preprocessing, key: str) -> Preprocessing:
    return st.selectbox(
        "Its pixels",
        list(SCALINGS),
        index=SCALINGS.index(guess),
        format_func=lambda name: SCALING_WORDS[name],
        key=key,
        persist_state="session",
        help="How pixels are scaled before they enter. A wrong choice spoils every map; see Inspect.",
    )


def _show_guess(mode: Preprocessing, guess: ScalingGuess) -> None:
    guessed = "guessed" if mode == guess.mode else f"chosen; the guess was {SCALING_WORDS[guess.mode]}"
    st.caption(f"Pixels {guessed}: {plain(guess.reason)}.")


def _card(spec: Spec) -> OpenedFile:
    """Open a file once a session; the error's sentence where it cannot be opened."""
    cards = MODEL_CARDS.get()
    if spec not in cards:
        waiting = st.empty()
        with waiting, st.spinner(f"Opening {plain(spec.label)} …"), MACHINE.passing(lambda _before: None):
            try:
                backbone_pool().make_room(spec)
                cards[spec] = card_of(spec)
            except MemoryLimitError as error:  # another time there may be room
                return told(error)
            except WeightsAloneError as error:
                cards[spec] = WeightsAlone(error.architecture)
            except ConvfeError as error:
                cards[spec] = told(error)
            finally:
                waiting.empty()
    return cards[spec]


def known_card(spec: Spec) -> ModelCard | None:
    """What is known of a model of the user's own that was opened in this session."""
    opened = replace(spec, weights="model", preprocessing=None, layer="auto")
    card = MODEL_CARDS.get().get(opened)
    return card if isinstance(card, ModelCard) else None
