import base64
import io
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image
from plotly.colors import sample_colorscale

from convfe_core.drawing.colour_maps import BOX_COLOUR, COLOUR_MAPS, DIFFERENCES, colour_table
from convfe_core.drawing.colour_scales import percentiles, scale_limits
from convfe_core.drawing.map_figure import row_figure
from convfe_core.drawing.map_traces import Look
from tests.support.builders import feature_maps, photo

PICTURE = "data:image/png;base64,AA=="


def row_figure_of(look: Look, *labels: str, boxes=()) -> dict:
    picture = photo(96, 128, name="a <b>bold</b> name.png")
    rows = [
        feature_maps(np.arange(12, dtype=np.float32).reshape(3, 4), label, digest=picture.digest)
        for label in labels or ["A"]
    ]
    return row_figure(picture, PICTURE, rows, scale_limits(rows, look.scope), look, boxes)


def drawn(look: Look, *labels: str, boxes=()) -> go.Figure:
    return go.Figure(row_figure_of(look, *labels, boxes=boxes))  # raises on anything that Plotly does not know


def heatmaps(figure: go.Figure) -> list[go.Heatmap]:
    return [trace for trace in figure.data if trace.type == "heatmap"]


def words(figure: go.Figure) -> list[str]:
    return [text for trace in figure.select_traces({"type": "scatter", "mode": "text"}) for text in trace.text]


def panel_axes(figure: go.Figure) -> tuple[list[go.layout.XAxis], list[go.layout.YAxis]]:
    """Axes that can be zoomed: all but those of the words."""
    return tuple(
        [axis for axis in axes if not axis.fixedrange] for axes in (figure.select_xaxes(), figure.select_yaxes())
    )


def test_every_backbone_has_a_max_and_a_mean_panel_beside_the_photograph() -> None:
    figure = drawn(Look(), "A", "B")
    assert [trace.name for trace in heatmaps(figure)] == ["A max", "A mean", "B max", "B mean"]
    assert len(panel_axes(figure)[0]) == 5
    assert words(figure)[:2] == ["a &lt;b&gt;bold&lt;/b&gt; name.png", "max"]


def test_every_map_has_its_colour_scale_with_two_ends_below_it() -> None:
    figure = drawn(Look(), "A", "B")
    scales = [image for image in figure.layout.images if image.source != PICTURE]
    height = figure.layout.height
    panels = list(zip(panel_axes(figure)[0][1:], scales, strict=True))
    for axis, scale in panels:
        assert [scale.x, scale.x + scale.sizex] == pytest.approx([figure.layout.width * end for end in axis.domain])
        assert 0 < scale.y - scale.sizey < scale.y < height * figure.layout.yaxis2.domain[0]
    ends = [f"{end:.3g}" for trace in heatmaps(figure) for end in (trace.zmin, trace.zmax)]
    assert len(ends) == 8
    assert set(ends) <= set(words(figure))


@pytest.mark.parametrize("name", [*COLOUR_MAPS, *DIFFERENCES])
def test_colours_are_written_out_because_browsers_know_few_by_name(name: str) -> None:
    figure = row_figure_of(Look(colour_map=name))
    stops = next(trace["colorscale"] for trace in figure["data"] if trace["type"] == "heatmap")
    sampled = sample_colorscale([list(stop) for stop in stops], [0, 64 / 255, 1], colortype="tuple")
    np.testing.assert_allclose(np.array(sampled) * 255, colour_table(name)[[0, 64, 255]], atol=1)
    assert not any("#" in colour for _, colour in stops)


@pytest.mark.parametrize(
    ("panel_width", "lines"),
    [(180, ["4 × 3 cells, receptive field 247 px"]), (60, ["4 × 3 cells", "receptive field 247 px"])],
)
def test_cells_and_receptive_field_stand_between_the_name_and_the_maps(panel_width: int, lines: list[str]) -> None:
    picture = photo(96, 128)
    rows = [feature_maps(np.arange(12, dtype=np.float32).reshape(3, 4), "C4", digest=picture.digest)]
    look = Look(panel_width=panel_width)
    limits = scale_limits(rows, "map")
    figure = go.Figure(row_figure(picture, PICTURE, rows, limits, look, receptive_fields={"C4": 247.0}))
    trace = next(figure.select_traces({"type": "scatter", "mode": "text"}))
    assert [text for text in trace.text if "cells" in text or "receptive" in text] == lines[::-1]
    heights = dict(zip(trace.text, trace.y, strict=True))
    down = [heights[text] for text in ("<b>C4</b>", *lines, "max")]
    assert down == sorted(down, reverse=True)
    assert len(set(down)) == len(down)
    assert down[0] + 14 < figure.layout.height


def test_cells_lie_where_their_centres_are_on_the_image() -> None:
    heatmap = heatmaps(drawn(Look(), "A"))[0]
    assert (heatmap.x0, heatmap.dx, heatmap.y0, heatmap.dy) == (16, 32, 16, 32)


def test_zoom_and_pan_move_all_panels_together() -> None:
    figure = drawn(Look(), "A", "B")
    x_axes, y_axes = panel_axes(figure)
    assert [axis.matches for axis in x_axes] == [None, "x2", "x2", "x2", "x2"]
    assert len(y_axes) == 1
    assert {trace.yaxis for trace in heatmaps(figure)} == {"y2"}


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


def test_names_take_more_lines_where_they_have_no_room_and_numbers_are_left_out() -> None:
    labels = ["MobileNetV3Large-1.0-minimalistic:untrained", "TinyResNet"]
    narrow = words(drawn(Look(reductions=("mean",), panel_width=130), *labels))
    assert [word[3:-4] for word in narrow if word.startswith("<b>")] == [
        *("untrained", "minimalistic:", "Large-1.0-", "MobileNetV3"),
        "TinyResNet",
    ]
    assert "4 × 3 cells" in narrow
    wide = words(drawn(Look(reductions=("mean",), panel_width=480), *labels))
    assert f"<b>{labels[0]}</b>" in wide

    picture = photo(96, 128)
    rows = [feature_maps(np.arange(12, dtype=np.float32).reshape(3, 4) * 1.2345e-9, digest=picture.digest)]
    tiny = words(go.Figure(row_figure(picture, PICTURE, rows, scale_limits(rows, "map"), Look(panel_width=130))))
    assert "1.36e-08" in tiny
    assert "4 × 3 cells" not in tiny


def test_the_photograph_shines_through_an_overlay() -> None:
    figure = drawn(Look(overlay=0.5), "A")
    photographs = [image for image in figure.layout.images if image.source == PICTURE]
    assert [image.xref for image in photographs] == ["x2", "x3", "x4"]
    assert {trace.opacity for trace in heatmaps(figure)} == {0.5}


def test_boxes_are_drawn_on_every_panel() -> None:
    figure = drawn(Look(), "A", boxes=[(10, 20, 30, 40)])
    drawn_boxes = [shape for shape in figure.layout.shapes if shape.line.color == BOX_COLOUR]
    assert len(drawn_boxes) == 3
    assert {(box.x0, box.y0, box.x1, box.y1) for box in drawn_boxes} == {(10, 20, 30, 40)}


def test_tags_in_a_name_are_shown_and_not_obeyed() -> None:
    texts = words(drawn(Look(), "A<i>"))
    assert "a &lt;b&gt;bold&lt;/b&gt; name.png" in texts
    assert "<b>A&lt;i&gt;</b>" in texts


@pytest.mark.parametrize(("value", "word"), [(np.nan, "no numbers"), (0.0, "flat")])
def test_a_map_that_cannot_be_trusted_carries_a_warning(value: float, word: str) -> None:
    picture = photo(96, 128)
    rows = [feature_maps(np.full((3, 4), value, np.float32), digest=picture.digest)]
    figure = go.Figure(row_figure(picture, "data:,", rows, scale_limits(rows, "map"), Look()))
    assert any(word in text.lower() for text in words(figure))


def test_backbones_of_different_lines_stand_below_each_other_beside_the_photograph() -> None:
    figure = drawn(Look(across=1), "A", "B")
    x_axes, y_axes = panel_axes(figure)
    lefts = [axis.domain[0] for axis in x_axes]
    assert lefts[0] < lefts[1] == lefts[3] < lefts[2] == lefts[4]
    assert [(trace.xaxis, trace.yaxis) for trace in heatmaps(figure)] == [
        ("x3", "y2"),
        ("x4", "y2"),
        ("x5", "y3"),
        ("x6", "y3"),
    ]
    assert y_axes[1].domain[1] < y_axes[0].domain[0]
    assert y_axes[1].matches == "y2"


def test_the_last_line_may_be_shorter() -> None:
    figure = drawn(Look(across=2, reductions=("max",)), "A", "B", "C")
    assert [(trace.xaxis, trace.yaxis) for trace in heatmaps(figure)] == [("x3", "y2"), ("x4", "y2"), ("x5", "y3")]
    x_axes, _ = panel_axes(figure)
    assert len(x_axes) == 4
    assert x_axes[3].domain == x_axes[1].domain


@pytest.mark.parametrize("smoothed", [False, True])
def test_colours_lie_on_the_cells_of_the_map_beside_them_and_have_no_scale(smoothed: bool) -> None:
    picture = photo(96, 128)
    maps = feature_maps(np.arange(12, dtype=np.float32).reshape(3, 4), "A", digest=picture.digest)
    colours = np.zeros((3, 4, 3), np.uint8)
    colours[1, 2] = 255
    rows = [replace(maps, pca=colours)]
    look = Look(reductions=("max", "pca"), overlay=0.5, smoothed=smoothed)
    figure = go.Figure(row_figure(picture, PICTURE, rows, scale_limits(rows, "map"), look))
    (heatmap,) = heatmaps(figure)
    (image,) = figure.select_traces({"type": "image"})
    assert image.name == "A pca"
    np.testing.assert_array_equal(image.z, colours)
    assert all(image[name] == heatmap[name] for name in ("x0", "dx", "y0", "dy"))
    assert image.opacity == (0 if smoothed else 0.5)
    assert words(figure).count("0") == 1
    assert "pca" in words(figure)
    smooth = [one for one in figure.layout.images if one.xref == image.xaxis and one.source != PICTURE]
    scales = [one for one in figure.layout.images if one.source != PICTURE and one not in smooth]
    assert len(scales) == 1
    assert len(smooth) == smoothed
    for one in smooth:
        assert (one.x, one.y, one.sizex, one.sizey, one.opacity) == (0, 0, 128, 96, 0.5)
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(one.source.partition(",")[2]))))
        np.testing.assert_array_equal(pixels, colours)  # a browser enlarges it


def test_a_picture_that_is_not_there_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match=r"Expected a picture among max, mean\. Received: 'pca'"):
        row_figure_of(Look(reductions=("max", "pca")), "A")


@pytest.mark.parametrize("label", ["MobileNetV2-0.35:untrained", "my_model:final-2", "averylongnamewithoutanybreak"])
@pytest.mark.parametrize("panel_width", [60, 99, 180])
def test_no_letter_of_a_backbones_name_is_left_out_and_no_line_is_wider_than_its_maps(
    label: str, panel_width: int
) -> None:
    figure = drawn(Look(reductions=("max",), panel_width=panel_width), "A", label)
    trace = next(figure.select_traces({"type": "scatter", "mode": "text"}))
    bold = [(y, text[3:-4]) for y, text in zip(trace.y, trace.text, strict=True) if text.startswith("<b>")]
    lines = [text for _, text in sorted(bold, reverse=True) if text != "A"]
    assert "".join(lines) == label
    assert max(map(len, lines)) <= max(8, panel_width // 8)
    assert max(y for y, _ in bold) + 14 < figure.layout.height
