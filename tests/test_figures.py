import numpy as np
import plotly.graph_objects as go
import pytest

from convfe_core.figures import BOX_COLOUR, Look, row_figure
from convfe_core.scales import percentiles, scale_limits
from tests.builders import feature_maps, photo


def drawn(look: Look, *labels: str, boxes=()) -> go.Figure:
    picture = photo(96, 128, name="a <b>bold</b> name.png")
    rows = [
        feature_maps(np.arange(12, dtype=np.float32).reshape(3, 4), label, digest=picture.digest) for label in labels
    ]
    figure = row_figure(picture, "data:image/png;base64,AA==", rows, scale_limits(rows, look.scope), look, boxes)
    return go.Figure(figure)  # raises on anything that Plotly does not know


def heatmaps(figure: go.Figure) -> list[go.Heatmap]:
    return [trace for trace in figure.data if trace.type == "heatmap"]


def test_every_backbone_has_a_max_and_a_mean_panel_beside_the_photograph() -> None:
    figure = drawn(Look(), "A", "B")
    assert [trace.name for trace in heatmaps(figure)] == ["A max", "A mean", "B max", "B mean"]
    assert len(list(figure.select_xaxes())) == 5
    assert len(figure.layout.images) == 1


def test_cells_lie_where_their_centres_are_on_the_image() -> None:
    heatmap = heatmaps(drawn(Look(), "A"))[0]
    assert (heatmap.x0, heatmap.dx, heatmap.y0, heatmap.dy) == (16, 32, 16, 32)


def test_zoom_and_pan_move_all_panels_together() -> None:
    figure = drawn(Look(), "A", "B")
    followers = list(figure.select_xaxes())[1:] + list(figure.select_yaxes())[1:]
    assert {axis.matches for axis in followers} == {"x", "y"}


def test_hover_tells_value_percentile_and_cell() -> None:
    heatmap = heatmaps(drawn(Look(), "A"))[0]
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(heatmap.z, values)
    np.testing.assert_allclose(heatmap.customdata[..., 0], percentiles(values), rtol=1e-6)
    np.testing.assert_array_equal(heatmap.customdata[2, 3, 1:], [2, 3])
    assert "%{z" in heatmap.hovertemplate
    assert "pixel x" in heatmap.hovertemplate


def test_a_shared_scale_gives_every_map_the_same_colours() -> None:
    picture = photo(96, 128)
    ramp = np.arange(12, dtype=np.float32).reshape(3, 4)
    rows = [
        feature_maps(ramp, "A", digest=picture.digest),
        feature_maps(10 * ramp, "B", digest=picture.digest),
    ]

    def ends(scope: str) -> list[tuple[float, float]]:
        look = Look(reductions=("max",), scope=scope)
        figure = go.Figure(row_figure(picture, "data:,", rows, scale_limits(rows, scope), look))
        return [(trace.zmin, trace.zmax) for trace in heatmaps(figure)]

    assert ends("map") == [(0, 11), (0, 110)]
    assert ends("image") == [(0, 110), (0, 110)]


def test_the_photograph_shines_through_an_overlay() -> None:
    figure = drawn(Look(overlay=0.5), "A")
    assert len(figure.layout.images) == 3
    assert {trace.opacity for trace in heatmaps(figure)} == {0.5}


def test_boxes_are_drawn_on_every_panel() -> None:
    figure = drawn(Look(), "A", boxes=[(10, 20, 30, 40)])
    drawn_boxes = [shape for shape in figure.layout.shapes if shape.line.color == BOX_COLOUR]
    assert len(drawn_boxes) == 3
    assert {(box.x0, box.y0, box.x1, box.y1) for box in drawn_boxes} == {(10, 20, 30, 40)}


def test_tags_in_a_name_are_shown_and_not_obeyed() -> None:
    texts = [note.text for note in drawn(Look(), "A<i>").layout.annotations]
    assert "a &lt;b&gt;bold&lt;/b&gt; name.png" in texts
    assert "<b>A&lt;i&gt;</b>" in texts


@pytest.mark.parametrize(("value", "word"), [(np.nan, "no numbers"), (0.0, "flat")])
def test_a_map_that_cannot_be_trusted_carries_a_warning(value: float, word: str) -> None:
    picture = photo(96, 128)
    rows = [feature_maps(np.full((3, 4), value, np.float32), digest=picture.digest)]
    figure = go.Figure(row_figure(picture, "data:,", rows, scale_limits(rows, "map"), Look()))
    assert any(word in (note.text or "").lower() for note in figure.layout.annotations)


def test_stacked_backbones_stand_below_each_other_beside_the_photograph() -> None:
    figure = drawn(Look(stacked=True), "A", "B")
    columns = [(axis.domain[0], axis.anchor) for axis in figure.select_xaxes()]
    lines = [axis.domain for axis in figure.select_yaxes()]
    assert columns[1][0] == columns[3][0] < columns[2][0] == columns[4][0]
    assert lines[0] == lines[1] == lines[2]
    assert lines[3] == lines[4]
    assert lines[3][1] < lines[1][0]
