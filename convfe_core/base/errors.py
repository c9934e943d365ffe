"""The errors a user can cause, each with the sentence that says what to do next.

ConvfeError
├── ImageError        a file that is no photograph we can show
├── SpecError         a backbone, tap or size that cannot be named like that
├── WeightsError      weights that are missing, damaged or made for another architecture
│   └── DownloadError weights that could not be fetched
├── ModelFileError    a model file that cannot or must not be opened
│   └── WeightsAloneError weights without the model that they belong to
├── AnnotationError   boxes that cannot be read
├── StoreError        an address, such as s3://bucket/folder, that cannot be read or written
├── EngineError       an engine for long runs that is not there or cannot go on
├── SettingError      a setting of this machine that it cannot work with
└── MemoryLimitError  a backbone that does not fit into the memory there is
"""

from dataclasses import dataclass


class ConvfeError(Exception):
    """Anything a user can put right; ``str(error)`` is one line fit to show them."""

    @property
    def in_public(self) -> str:
        """The line for those who do not sit at the machine: it names none of its folders and addresses."""
        return str(self)


class ImageError(ConvfeError):
    """A file that is no photograph we can show."""


class SpecError(ConvfeError):
    """A backbone, tap or size that cannot be named like that."""


class WeightsError(ConvfeError):
    """Weights that are missing, damaged or made for another architecture."""


class DownloadError(WeightsError):
    """Weights that could not be fetched.

    Parameters
    ----------
    text : why, and what to do
    in_public : the same for those who can do nothing about it
    """

    def __init__(self, text: str, in_public: str | None = None) -> None:
        super().__init__(text)
        self._in_public = in_public

    @property
    def in_public(self) -> str:
        """The line without reasons that lie with the machine."""
        return str(self) if self._in_public is None else self._in_public


class ModelFileError(ConvfeError):
    """A model file that cannot or must not be opened."""


class WeightsAloneError(ModelFileError):
    """Weights without the model that they belong to.

    Parameters
    ----------
    text : what to do
    architecture : name of the one that they seem to belong to
    """

    def __init__(self, text: str, architecture: str | None = None) -> None:
        super().__init__(text)
        self.architecture = architecture


class AnnotationError(ConvfeError):
    """Boxes that cannot be read."""


class StoreError(ConvfeError):
    """An address, such as s3://bucket/folder, that cannot be read or written."""


class EngineError(ConvfeError):
    """An engine for long runs that is not there or cannot go on."""


class SettingError(ConvfeError):
    """A setting of this machine that it cannot work with."""


class MemoryLimitError(ConvfeError):
    """A backbone that does not fit into the memory there is."""


@dataclass(frozen=True)
class Skipped:
    """Something in a data set that was not used, and why."""

    file: str
    reason: str
