"""What breaks on a page is told in one sentence, in a part that is redrawn alone, too."""

import pytest
from streamlit.testing.v1 import AppTest


@pytest.mark.parametrize("kind", ["ValueError", "ConvfeError"])
def test_a_fault_in_a_part_that_is_redrawn_alone_is_one_sentence_and_the_rest_is_drawn(kind: str) -> None:
    def page(kind: str) -> None:
        import streamlit as st

        from convfe_core.base.errors import ConvfeError
        from pages.app.guard import redrawn_alone

        @redrawn_alone
        def part() -> None:
            raise {"ValueError": ValueError, "ConvfeError": ConvfeError}[kind]("Expected one thing, got another.")

        part()
        st.write("the rest")

    app = AppTest.from_function(page, args=(kind,)).run()
    assert not app.exception
    assert [text.value for text in app.markdown] == ["the rest"]
    expected = "Expected one thing" if kind == "ConvfeError" else "Something broke in this app"
    assert [error.value.startswith(expected) for error in app.error] == [True]
