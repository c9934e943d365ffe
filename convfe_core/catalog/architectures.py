"""Every architecture that can be looked at, as data: one row each, no code.

Keras Applications 3.15 with all widths that have ImageNet weights, and the two built-in backbones. Tests hold
the rows against Keras itself: parameter counts, file names, addresses and hashes, preprocessing, strides.
"""
# ruff: noqa: E501  (one row, one line)

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Preprocessing = Literal["raw", "unit", "tf", "torch", "caffe"]
"""How pixels in 0..255 are scaled, named as in Keras; ``raw`` where the network scales them itself, ``unit`` for 0..1."""


@dataclass(frozen=True)
class WeightFile:
    """A file of ImageNet weights without the classifier, as Keras names, fetches and checks it.

    Attributes
    ----------
    name : file name in Keras' cache, below ``models/``
    url : where Keras fetches it
    digest : MD5 or SHA-256 (64 digits) in hex, or None: Keras checks no hash for MobileNet V1 and V2
    megabytes : size in MB (10^6 bytes), good to about 1 %: 4 bytes a parameter and HDF5's 1.5 kB a variable
    """

    name: str
    url: str
    digest: str | None
    megabytes: float


@dataclass(frozen=True)
class Architecture:
    """A backbone without its classifier head.

    Attributes
    ----------
    name : how specs name it: the Keras class, with the width after a dash where it has one
    family : heading in the catalog
    keras_name : the class in ``keras.applications``; for the built-in ones their own name
    parameters : without the head
    native_size : side of the square input it was trained or published at, in pixels
    working_size : longest side at which its maps are most useful, in pixels
    preprocessing : how its pixels are scaled
    licence : SPDX name of the weights' licence
    stride : input pixels per cell of the default tap
    weights : the weights it can have by name, the default first
    width : width multiplier ``alpha``, None where the class has none
    minimalistic : MobileNetV3 without squeeze-and-excite, 5x5 kernels and hard swish
    minimum_size : smallest side that Keras accepts
    top1 : published ImageNet top-1 accuracy in %, None where none was published. From the table in Keras
        Applications' documentation; MobileNet's other widths from its paper (arXiv 1704.04861, table 6), those of
        MobileNetV2 and V3 from the tables in Keras' docstrings. ConvNeXt Base, Large and XLarge were trained on
        ImageNet-21k first
    tap : default tap
    weight_file : ImageNet weights, None for the built-in ones
    """

    name: str
    family: str
    keras_name: str
    parameters: int
    native_size: int
    working_size: int
    preprocessing: Preprocessing
    licence: str
    stride: int
    weights: tuple[str, ...]
    width: float | None = None
    minimalistic: bool = False
    minimum_size: int = 32
    top1: float | None = None
    tap: str = "auto"
    weight_file: WeightFile | None = None

    @property
    def keras_arguments(self) -> dict[str, float | bool]:
        """What the Keras class is called with beside ``include_top``, ``weights`` and ``input_shape``."""
        arguments: dict[str, float | bool] = {}
        if self.width is not None:
            arguments["alpha"] = self.width
        if self.minimalistic:
            arguments["minimalistic"] = True
        return arguments


@dataclass(frozen=True)
class _Row:
    keras_name: str
    key: str
    parameters: int
    native_size: int
    top1: float
    megabytes: float
    digest: str | None
    width: float | None = None
    minimalistic: bool = False
    minimum: int = 32

    @property
    def name(self) -> str:
        width = "" if self.width is None else f"-{self.width}"
        return self.keras_name + width + ("-minimalistic" if self.minimalistic else "")


@dataclass(frozen=True)
class _Family:
    name: str
    preprocessing: Preprocessing
    licence: str
    file: str
    rows: tuple[_Row, ...]
    root: str = "https://storage.googleapis.com/tensorflow/keras-applications/"
    cache_name: str = ""

    def architecture(self, row: _Row) -> Architecture:
        url = self.root + self.file.format(key=row.key)
        cache_name = self.cache_name.format(key=row.key) or url.rpartition("/")[2]
        return Architecture(
            name=row.name,
            family=self.name,
            keras_name=row.keras_name,
            width=row.width,
            minimalistic=row.minimalistic,
            parameters=row.parameters,
            native_size=row.native_size,
            working_size=320,
            minimum_size=row.minimum,
            top1=row.top1,
            preprocessing=self.preprocessing,
            licence=self.licence,
            stride=32,
            weight_file=WeightFile(cache_name, url, row.digest, row.megabytes),
            weights=("imagenet", "untrained"),
        )


def _built_in(name: str, parameters: int) -> Architecture:
    return Architecture(
        name=name,
        family="Built in",
        keras_name=name,
        parameters=parameters,
        native_size=64,
        working_size=160,
        preprocessing="tf",
        licence="MIT",
        stride=16,
        weights=("builtin", "untrained"),
    )


# fmt: off
# _Family: name, preprocessing, licence of the weights, weight file below the root
# _Row: class, key in file names, parameters, native size, top-1 in %, MB, hash
_FAMILIES = (
    _Family("VGG", "caffe", "CC-BY-4.0", "{key}/{key}_weights_tf_dim_ordering_tf_kernels_notop.h5", (
        _Row("VGG16", "vgg16", 14_714_688, 224, 71.3, 58.9, "6d6bbae143d832006294945121d1f1fc"),
        _Row("VGG19", "vgg19", 20_024_384, 224, 71.3, 80.1, "253f8cb515780f3b799900260a226db6"),
    )),
    _Family("ResNet", "caffe", "MIT", "resnet/{key}_weights_tf_dim_ordering_tf_kernels_notop.h5", (
        _Row("ResNet50", "resnet50", 23_587_712, 224, 74.9, 94.8, "4d473c1dd8becc155b73f8504c6f6626"),
        _Row("ResNet101", "resnet101", 42_658_176, 224, 76.4, 171.6, "88cf7a10940856eca736dc7b7e228a21"),
        _Row("ResNet152", "resnet152", 58_370_944, 224, 76.6, 234.9, "ee4c566cf9a93f14d82f913c2dc6dd0c"),
    )),
    _Family("ResNetV2", "tf", "BSD-3-Clause", "resnet/{key}_weights_tf_dim_ordering_tf_kernels_notop.h5", (
        _Row("ResNet50V2", "resnet50v2", 23_564_800, 224, 76.0, 94.7, "fac2f116257151a9d068a22e544a4917"),
        _Row("ResNet101V2", "resnet101v2", 42_626_560, 224, 77.2, 171.3, "c0ed64b8031c3730f411d2eb4eea35b5"),
        _Row("ResNet152V2", "resnet152v2", 58_331_648, 224, 78.0, 234.5, "ed17cf2e0169df9d443503ef94b23b33"),
    )),
    _Family("MobileNet", "tf", "Apache-2.0", "mobilenet/mobilenet_{key}_224_tf_no_top.h5", (
        _Row("MobileNet", "2_5", 218_544, 224, 50.6, 1.1, None, width=0.25),
        _Row("MobileNet", "5_0", 829_536, 224, 63.7, 3.5, None, width=0.5),
        _Row("MobileNet", "7_5", 1_832_976, 224, 68.4, 7.5, None, width=0.75),
        _Row("MobileNet", "1_0", 3_228_864, 224, 70.4, 13.1, None, width=1.0),
    )),
    _Family("MobileNetV2", "tf", "Apache-2.0", "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{key}_224_no_top.h5", (
        _Row("MobileNetV2", "0.35", 410_208, 224, 60.3, 2.0, None, width=0.35),
        _Row("MobileNetV2", "0.5", 706_224, 224, 65.4, 3.2, None, width=0.5),
        _Row("MobileNetV2", "0.75", 1_382_064, 224, 69.8, 5.9, None, width=0.75),
        _Row("MobileNetV2", "1.0", 2_257_984, 224, 71.3, 9.4, None, width=1.0),
        _Row("MobileNetV2", "1.3", 3_766_048, 224, 74.4, 15.5, None, width=1.3),
        _Row("MobileNetV2", "1.4", 4_363_712, 224, 75.0, 17.8, None, width=1.4),
    )),
    _Family("MobileNetV3", "raw", "Apache-2.0", "mobilenet_v3/weights_mobilenet_v3_{key}_float_no_top_v2.h5", (
        _Row("MobileNetV3Small", "small_224_0.75", 583_160, 224, 65.4, 2.6, "ebdb5cc8e0b497cd13a7c275d475c819", width=0.75),
        _Row("MobileNetV3Small", "small_224_1.0", 939_120, 224, 68.1, 4.1, "d3e8ec802a04aa4fc771ee12a9a9b836", width=1.0),
        _Row("MobileNetV3Small", "small_minimalistic_224_1.0", 441_000, 224, 61.9, 2.0, "cde8136e733e811080d9fcd8a252f7e4", width=1.0, minimalistic=True),
        _Row("MobileNetV3Large", "large_224_0.75", 1_808_736, 224, 73.3, 7.6, "40af19a13ebea4e2ee0c676887f69a2e", width=0.75),
        _Row("MobileNetV3Large", "large_224_1.0", 2_996_352, 224, 75.6, 12.4, "07fb09a5933dd0c8eaafa16978110389", width=1.0),
        _Row("MobileNetV3Large", "large_minimalistic_224_1.0", 1_437_608, 224, 72.3, 6.1, "ec5221f64a2f6d1ef965a614bdae7973", width=1.0, minimalistic=True),
    )),
    _Family("EfficientNet", "raw", "Apache-2.0", "{key}_notop.h5", (
        _Row("EfficientNetB0", "efficientnetb0", 4_049_571, 224, 77.1, 16.7, "50bc09e76180e00e4465e1a485ddc09d"),
        _Row("EfficientNetB1", "efficientnetb1", 6_575_239, 240, 79.1, 27.0, "74c4e6b3e1f6a1eea24c589628592432"),
        _Row("EfficientNetB2", "efficientnetb2", 7_768_569, 260, 80.1, 31.7, "111f8e2ac8aa800a7a99e3239f7bfb39"),
        _Row("EfficientNetB3", "efficientnetb3", 10_783_535, 300, 81.6, 43.9, "af6d107764bb5b1abb91932881670226"),
        _Row("EfficientNetB4", "efficientnetb4", 17_673_823, 380, 82.9, 71.6, "ebc24e6d6c33eaebbd558eafbeedf1ba"),
        _Row("EfficientNetB5", "efficientnetb5", 28_513_527, 456, 83.6, 115.2, "38879255a25d3c92d5e44e04ae6cec6f"),
        _Row("EfficientNetB6", "efficientnetb6", 40_960_143, 528, 84.0, 165.1, "9ecce42647a20130c1f39a5d4cb75743"),
        _Row("EfficientNetB7", "efficientnetb7", 64_097_687, 600, 84.3, 257.9, "cbcfe4450ddf6f3ad90b1b398090fe4a"),
    ), root="https://storage.googleapis.com/keras-applications/"),
    _Family("EfficientNetV2", "raw", "Apache-2.0", "efficientnet_v2/{key}_notop.h5", (
        _Row("EfficientNetV2B0", "efficientnetv2-b0", 5_919_312, 224, 78.7, 24.2, "893217f2bb855e2983157299931e43ff"),
        _Row("EfficientNetV2B1", "efficientnetv2-b1", 6_931_124, 240, 79.8, 28.4, "0e80663031ca32d657f9caa404b6ec37"),
        _Row("EfficientNetV2B2", "efficientnetv2-b2", 8_769_374, 260, 80.5, 35.8, "1dfe2e7a5d45b6632553a8961ea609eb"),
        _Row("EfficientNetV2B3", "efficientnetv2-b3", 12_930_622, 300, 82.0, 52.5, "f6abf7b5849ac99a89b50dd3fd532856"),
        _Row("EfficientNetV2S", "efficientnetv2-s", 20_331_360, 384, 83.9, 82.3, "af0682fb74e8c54910f2d4393339c070"),
        _Row("EfficientNetV2M", "efficientnetv2-m", 53_150_388, 480, 85.3, 214.0, "1b8dc055df72dde80d614482840fe342"),
        _Row("EfficientNetV2L", "efficientnetv2-l", 117_746_848, 480, 85.7, 473.0, "b0b66b5c863aef5b46e8608fe1711615"),
    )),
    _Family("ConvNeXt", "raw", "MIT", "convnext/{key}_notop.h5", (
        _Row("ConvNeXtTiny", "convnext_tiny", 27_820_128, 224, 81.3, 111.6, "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1"),
        _Row("ConvNeXtSmall", "convnext_small", 49_454_688, 224, 82.3, 198.3, "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab"),
        _Row("ConvNeXtBase", "convnext_base", 87_566_464, 224, 85.3, 350.8, "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45"),
        _Row("ConvNeXtLarge", "convnext_large", 196_230_336, 224, 86.3, 785.4, "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd"),
        _Row("ConvNeXtXLarge", "convnext_xlarge", 348_147_968, 224, 86.7, 1393.1, "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05"),
    )),
    _Family("DenseNet", "torch", "BSD-3-Clause", "densenet/{key}_weights_tf_dim_ordering_tf_kernels_notop.h5", (
        _Row("DenseNet121", "densenet121", 7_037_504, 224, 75.0, 29.1, "30ee3e1110167f948a6b9946edeeb738"),
        _Row("DenseNet169", "densenet169", 12_642_880, 224, 76.2, 51.8, "b8c4d4c20dd625c148057b9ff1c1176b"),
        _Row("DenseNet201", "densenet201", 18_321_984, 224, 77.3, 74.8, "c13680b51ded0fb44dff2d8f86ac8bb1"),
    )),
    _Family("Inception", "tf", "Apache-2.0", "{key}/{key}_weights_tf_dim_ordering_tf_kernels_notop.h5", (
        _Row("InceptionV3", "inception_v3", 21_802_784, 299, 77.9, 87.8, "bcbd6486424b2319ff4ef7d526e38f63", minimum=75),
        _Row("InceptionResNetV2", "inception_resnet_v2", 54_336_736, 299, 80.3, 218.7, "d19885ff4a710c122648d3b5c3b684e4", minimum=75),
    )),
    _Family("Xception", "tf", "MIT", "{key}/{key}_weights_tf_dim_ordering_tf_kernels_notop.h5", (
        _Row("Xception", "xception", 20_861_480, 299, 79.0, 83.8, "b0042744bf5b25fce3cb969f33bebb97", minimum=71),
    )),
    _Family("NASNet", "tf", "Apache-2.0", "nasnet/NASNet-{key}-no-top.h5", (
        _Row("NASNetMobile", "mobile", 4_269_716, 224, 74.4, 18.8, "1ed92395b5b598bdda52abe5c0dbfd63"),
        _Row("NASNetLarge", "large", 84_916_818, 331, 82.5, 342.0, "d81d89dc07e6e56530c4e77faddd61b5"),
    ), cache_name="nasnet_{key}_no_top.h5"),
)
# fmt: on

ARCHITECTURES: tuple[Architecture, ...] = (
    _built_in("TinyResNet", 1_217_576),
    _built_in("TinyMobileNet", 480_224),
    *(family.architecture(row) for family in _FAMILIES for row in family.rows),
)
"""The catalog in the order it is shown: the built-in ones, then family by family."""
