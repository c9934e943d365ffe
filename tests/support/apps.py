"""The app without a browser."""

from __future__ import annotations

import json
from functools import cache

from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from tests.conftest import ROOT

TIME_LIMIT_S = 120

# Every new app looks for components in the metadata of all packages of this Python, which takes most of its time.
manifest_scanner.scan_component_manifests = cache(manifest_scanner.scan_component_manifests)


def new_app(**query: str) -> AppTest:
    """The app as an address with these parameters opens it, not run yet."""
    app = AppTest.from_file(str(ROOT / "dashboard.py"), default_timeout=TIME_LIMIT_S)
    for key, value in query.items():
        app.query_params[key] = value
    return app


def open_page(name: str, **query: str) -> AppTest:
    """A page as somebody reaches it from the first one."""
    app = new_app(**query)
    app.run()
    return app.switch_page(f"pages/{name}.py").run()


def rows(app: AppTest) -> list[dict]:
    """What the rows of Compare send to the browser."""
    parts = [part.proto for part in app.get("bidi_component")]
    return [json.loads(part.json) for part in parts if part.component_name == "convfe.rows"]


def charts(app: AppTest) -> list[str]:
    """The figures of a page, as Plotly's JSON: rows of Compare, then charts of Streamlit's."""
    return [row["figure"] for row in rows(app)] + [chart.proto.spec for chart in app.get("plotly_chart")]
