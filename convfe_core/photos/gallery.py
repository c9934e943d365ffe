"""The sample photographs: real ones that come inside scikit-image's wheel, so that none is downloaded."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from convfe_core.base.errors import ImageError
from convfe_core.photos.photo import Photo, read_photo


@dataclass(frozen=True)
class Sample:
    """A photograph of the gallery.

    Attributes
    ----------
    name : how links and the command line call it
    file : its file name in scikit-image's data folder
    title : what is to be seen
    credit : who made it, and under which terms
    kind : ``animal``, ``person``, ``vehicle``, ``object``, ``tissue``, ``texture`` or ``sky``
    """

    name: str
    file: str
    title: str
    credit: str
    kind: str


SAMPLES = (
    Sample("chelsea", "chelsea.png", "Chelsea the cat", "Stéfan van der Walt, CC0", "animal"),
    Sample("astronaut", "astronaut.png", "Astronaut Eileen Collins", "NASA, public domain", "person"),
    Sample(
        "motorcycle",
        "motorcycle_left.png",
        "Motorcycle in a workshop",
        "Middlebury Stereo 2014, Scharstein et al., GCPR 2014",
        "vehicle",
    ),
    Sample(
        "tissue",
        "ihc.png",
        "Colonic glands, stained, under a microscope",
        "Center for Microscopy and Molecular Imaging, no known restrictions",
        "tissue",
    ),
    Sample("gravel", "gravel.png", "Gravel", "CC0Textures (Gravel04), CC0", "texture"),
    Sample("coffee", "coffee.png", "Cup of coffee", "Rachel Michetti, Pikolo Espresso Bar, CC0", "object"),
    Sample("rocket", "rocket.jpg", "Launch of a Falcon 9", "SpaceX, public domain", "vehicle"),
    Sample("coins", "coins.png", "Greek coins from Pompeii", "Brooklyn Museum, no known restrictions", "object"),
    Sample("retina", "retina.jpg", "Fundus of a human eye", "Mikael Häggström, 2014, CC0", "tissue"),
    Sample("brick", "brick.png", "Brick wall", "CC0Textures (Bricks25), CC0", "texture"),
    Sample("grass", "grass.png", "Grass", "linolafett, DeviantArt, CC0", "texture"),
    Sample("hubble", "hubble_deep_field.jpg", "Hubble eXtreme Deep Field", "NASA, public domain", "sky"),
    Sample("camera", "camera.png", "Man behind a camera", "Lav Varshney, CC0", "person"),
    Sample("cell", "cell.png", "Cell floating in saline, a phase image", "Paul Müller et al., 2018, CC0", "tissue"),
    Sample("clock", "clock_motion.png", "Wall clock, blurred", "Stéfan van der Walt, public domain", "object"),
)
"""In the order in which they are offered."""

DEFAULT_SAMPLES = ("chelsea", "motorcycle", "coffee")
"""What the first page shows: three things that ImageNet is full of, each lit up as one by the built-in backbones."""


def sample_folder() -> Path:
    """Where scikit-image keeps its photographs.

    Raises
    ------
    ImageError
        When scikit-image is not installed.
    """
    # find_spec locates a top-level package without importing it.
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        raise ImageError("Expected scikit-image, whose photographs are the samples, got no installation of it.")
    return Path(found.origin).parent / "data"


def sample_bytes(sample: Sample) -> bytes:
    """The file of a photograph of the gallery.

    Raises
    ------
    ImageError : the installed scikit-image came without it
    """
    try:
        return (sample_folder() / sample.file).read_bytes()
    except OSError as error:
        raise ImageError(
            f"{sample.file}: expected it in scikit-image's data folder, got an installation without it; "
            "install scikit-image again from its wheel."
        ) from error


def load_sample(name: str) -> Photo:
    """Read a photograph of the gallery.

    Raises
    ------
    ImageError : there is no sample of that name, or the installed scikit-image came without its file
    """
    sample = next((sample for sample in SAMPLES if sample.name == name), None)
    if sample is None:
        known = ", ".join(sample.name for sample in SAMPLES)
        raise ImageError(f"Expected one of the samples {known}, got {name!r}.")
    return read_photo(sample_bytes(sample), sample.file)
