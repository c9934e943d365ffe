"""What tests of hostile files share."""

import pytest

from convfe_core.user_models import read_model_file


@pytest.fixture
def no_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever lets a file come as far as a loader fails."""

    def reached(name, loaders):
        pytest.fail("a loader was reached")

    monkeypatch.setattr(read_model_file, "_first_that_opens", reached)
