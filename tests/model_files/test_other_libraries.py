"""Models of KerasHub: what holds its settings instead of layers is told how to become plain Keras."""

from pathlib import Path

from tests.model_files.described_models import keras_file, layer, refuse, sequential

KERAS_HUB = {
    "module": "keras_hub.src.models.resnet.resnet_backbone",
    "class_name": "ResNetBackbone",
    "registered_name": "keras_hub>ResNetBackbone",
    "config": {"name": "res_net_backbone", "input_conv_filters": [64], "image_shape": [None, None, 3]},
}


def test_a_model_of_kerashub_is_told_the_three_lines_that_save_it_as_plain_keras(tmp_path: Path) -> None:
    refuse(
        keras_file(tmp_path / "m.keras", KERAS_HUB),
        "was saved with KerasHub, and holds the settings of its 'ResNetBackbone' instead of layers",
        'import keras, keras_hub; b = keras.saving.load_model("m.keras"); '
        'keras.Model(b.inputs, b.outputs).save("x.keras")',
    )
    task = KERAS_HUB | {"class_name": "ResNetImageClassifier", "registered_name": "keras_hub>ResNetImageClassifier"}
    refuse(keras_file(tmp_path / "m.keras", task), 'b = keras.saving.load_model("m.keras").backbone; ')
    refuse(
        keras_file(tmp_path / "m.keras", sequential(KERAS_HUB)),
        "b = keras.saving.load_model(\"m.keras\").get_layer('res_net_backbone'); ",
    )


def test_a_layer_of_kerashubs_own_is_called_that(tmp_path: Path) -> None:
    block = layer("ConvBnActBlock", module="keras_hub.src.models.mobilenet", registered="keras_hub>ConvBnActBlock")
    refuse(keras_file(tmp_path / "m.keras", sequential(block)), "layer 'evil' is KerasHub's own 'ConvBnActBlock'")
