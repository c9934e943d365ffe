import pytest

from pages.app.words import plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("holiday_2024 (1).png: expected a picture", "holiday_2024 (1).png: expected a picture"),
        ("![x](http://a.example/b.png)", "!\\[x\\](http://a.example/b.png)"),
        ("<img src=x onerror=alert(1)>.png", "\\<img src=x onerror=alert(1)\\>.png"),
        ("$E$ `code` *b* ~~s~~", "\\$E\\$ \\`code\\` \\*b\\* \\~\\~s\\~\\~"),
        (":red[alarm] :smile:", "\\:red\\[alarm\\] \\:smile:"),
        ("__init__.py _x_", "\\_\\_init\\_\\_.py \\_x\\_"),
        ("# 1\n# 2", "\\# 1 # 2"),
        ("1. first", "1\u200b. first"),
        ("&lt;b&gt;", "\\&lt;b\\&gt;"),
        ("", ""),
    ],
)
def test_names_are_shown_as_they_are_and_never_as_markup(text: str, shown: str) -> None:
    assert plain(text) == shown
