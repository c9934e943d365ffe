"""Guide: what the maps are, how to read them and what they cannot tell, with the app's own pictures."""

from __future__ import annotations

import streamlit as st

from convfe_core.catalog.specs import parse_spec
from convfe_core.drawing.colour_scales import scale_limits
from convfe_core.drawing.map_figure import row_figure
from convfe_core.drawing.map_traces import Look
from convfe_core.maps.input_size import Size
from convfe_core.model_files.other_libraries import PLAIN_KERAS
from convfe_core.photos.gallery import SAMPLES, load_sample
from pages.app.compute_maps import Work, show_outcome
from pages.app.navigation import enter
from pages.app.session import thumbnail
from pages.sidebar.choose_look import ink
from pages.views.show_figure import show_figure

enter()

EXAMPLE = "coffee"
EXAMPLE_BACKBONES = ("TinyResNet", "TinyResNet:untrained")
# Where a model of PyTorch comes from, a word on it, and what writes it as an ONNX file.
EXPORTS = (
    (
        "timm",
        "from its hub of weights, at the size that you want to look at",
        'm = timm.create_model("convnext_tiny", pretrained=True).eval()\n'
        'torch.onnx.export(m, torch.zeros(1, 3, 320, 320), "convnext.onnx")',
    ),
    (
        "torchvision",
        "the same line",
        'm = torchvision.models.resnet50(weights="DEFAULT").eval()\n'
        'torch.onnx.export(m, torch.zeros(1, 3, 320, 320), "resnet50.onnx")',
    ),
    (
        "Ultralytics",
        "the backbone's stages come first; maps of the neck can be chosen by name",
        "yolo export model=yolo11n.pt format=onnx imgsz=640",
    ),
    (
        "Hugging Face",
        "patch tokens of DINOv2, ViT and their like become a map; zip the folder to upload it",
        "optimum-cli export onnx --model facebook/dinov2-small --task feature-extraction dinov2/",
    ),
)
SMALLEST_SKETCH = 640  # pixels below which it scrolls sideways instead of becoming illegible

st.title("Guide", anchor=False)
st.write(
    "Pick the backbone whose maps show *your* objects. This page says in a minute how to read them; "
    "**Compare** shows them on your images."
)

st.subheader("What a backbone is", anchor=False)
st.html(
    "<style>.st-key-sketch {overflow-x: auto} "
    f".st-key-sketch [data-testid=stMermaidChart] {{min-width: {SMALLEST_SKETCH}px}}</style>"
)
with st.container(key="sketch"):
    st.mermaid_chart(
        """
        flowchart LR
            image["image<br/>W × H × 3"] --> backbone["backbone<br/>convolutions"]
            backbone --> features["feature map<br/>w × h × N"]
            features --> head["head<br/>boxes, masks or classes"]
            features --> max["max over N<br/>w × h"]
            features --> mean["mean over N<br/>w × h"]
        """,
        alt="An image goes through a backbone to a feature map of N channels, which a head reads; "
        "this app reduces it to two maps.",
    )
st.write(
    "A detector, a segmenter or a classifier is an *architecture*: a **backbone** that turns the image into a feature "
    "map, and a head that reads boxes, masks or classes from it. What the backbone does not separate, no head can find."
)

st.subheader("Why the channels are collapsed", anchor=False)
st.write(
    "The last feature map has hundreds of channels, too many to look at. Two numbers per cell keep what matters: the "
    "**max** over the channels asks whether *any* of them fires here, the **mean** how strongly they fire *together*. "
    "Each cell covers a square of the image as wide as the stride."
)
st.write(
    "Two more pictures show what one number per cell cannot. **PCA colours**: the three directions in which the "
    "features vary most, as red, green and blue, so that places of one colour look alike to the backbone. **Probe**, "
    "once three photographs have boxes: where a linear combination of the channels sees such objects, learned from the "
    "boxes of the *other* photographs."
)

st.subheader("A good one and a bad one", anchor=False)
photo = load_sample(EXAMPLE)
work = Work(
    photos=[photo],
    specs=[parse_spec(text) for text in EXAMPLE_BACKBONES],
    size=Size("own"),
    slot=st.empty(),
)
look = Look(ink=ink())
for shown, maps in work.rows():
    if maps:
        show_figure(
            row_figure(shown, thumbnail(shown), maps, scale_limits(maps, "map"), look),
            key="guide-example",
            alt="A trained and an untrained backbone on the same photograph",
        )
show_outcome(work)
st.write(
    "Left, a trained backbone: the cup lights up, the table does not. Right, the same architecture with random "
    "weights, its **control**: something lights up there too, but not the object. Look for shapes that stand where "
    "your objects are and nowhere else; a map is only worth something where it beats its control."
)

left, right = st.columns(2)
with left.container(border=True, height="stretch"):
    st.markdown("**Good signs**")
    st.markdown(
        "- Objects stand out from their surroundings, in most of your images\n"
        "- Objects of one kind look alike in the map\n"
        "- The picture is clearer than the control's"
    )
with right.container(border=True, height="stretch"):
    st.markdown("**Bad signs**")
    st.markdown(
        "- Noise, or a pattern that repeats whatever the image\n"
        "- Only the border or the centre lights up\n"
        "- Objects smaller than a cell: take a larger input or an earlier layer\n"
        "- A warning under a map, such as *flat* or *cut off*: do not trust it"
    )

st.subheader("What the maps cannot tell", anchor=False)
st.markdown(
    "- Whether a head can be trained on these features: a map shows *where*, not *what*\n"
    "- Which of two similar pictures is better: the eye is generous, numbers with intervals are not\n"
    "- How a backbone does after fine-tuning on your data\n"
    "- Magnitudes across backbones: each has its own units. **Scale shared by** puts maps on one scale on purpose"
)

st.subheader("What Rank measures", anchor=False)
st.markdown(
    "With boxes around your objects, **Rank** puts numbers where the eye is generous:\n"
    "- **Separation S**: how much better a map finds an image's own boxes than other images' boxes. 0 is chance, since "
    "looking at the middle finds many objects; 0.5 is about the most. On two sets of photographs the built-in and the "
    "smallest ImageNet backbones reached .10 to .17\n"
    "- **95 % interval**: how far S is certain. Backbones whose difference may be 0 are *tied*, whatever their order\n"
    "- **Control**: S of the same architecture with random weights. Who does not beat it gains nothing from training\n"
    "- **Cell probe**: S of a map that a linear combination of the channels gives, learned from other images. It asks "
    "whether the objects can be told from the rest by the features, also where their mean does not show them\n"
    "- **Box probe**: whether the features in a box tell what is in it; chance is one over the number of classes\n\n"
    "S and the cell probe sort out backbones in seconds. Neither is a verdict on detection by itself: on photographs "
    "of raccoons S put backbones in the order of small detectors, on drawn cells it was hardly better than a coin, "
    "while the cell probe had nine of ten pairs in that order over the four data sets that were tried. Where they "
    "disagree, only trying a detector decides"
)

st.subheader("How to bring yours from PyTorch", anchor=False)
st.write(
    "Export it to ONNX and open the file under **Your own model**; nothing of PyTorch is needed here. Where PyTorch "
    "is, its exporter needs `pip install onnx onnxscript`. Where it writes a second file, give both."
)
for title, words, command in EXPORTS:
    st.markdown(f"**{title}**: {words}")
    st.code(command, language="bash" if title in ("Ultralytics", "Hugging Face") else "python")

st.subheader("Models saved by KerasHub", anchor=False)
st.write(
    "A file that KerasHub saved holds the settings of one of its classes and no layers, so that only KerasHub can open "
    "it. Where that is installed, three lines save the model as plain Keras, which opens here:"
)
st.code("\n".join(PLAIN_KERAS).format(package="keras_hub", file="my_backbone.keras", part=""), language="python")
st.write(
    "`b` is the backbone: of a classifier or a detector, take `.backbone` of what was loaded. This works where all "
    "layers are Keras' own, as in KerasHub's ResNet, ResNet-vd, CSPNet, DenseNet, VGG and the first EfficientNet. "
    "Its EfficientNetV2, MobileNet and HGNetV2 have layers of their own, whose program code is not run here."
)

st.subheader("The sample photographs", anchor=False)
st.markdown("\n".join(f"- **{sample.title}**: {sample.credit}" for sample in SAMPLES))
