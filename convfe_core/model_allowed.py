"""What a model may name: lists of Keras' own layers and values that neither run code nor read files."""

from __future__ import annotations

TF_OPERATIONS = {
    "math.add": "add",
    "math.subtract": "subtract",
    "math.multiply": "multiply",
    "math.truediv": "divide",
    "math.divide": "divide",
    "divide": "divide",
    "__operators__.add": "add",
    "__operators__.getitem": "getitem",
    "nn.bias_add": "bias_add",
    "nn.relu": "relu",
    "nn.relu6": "relu6",
    "nn.silu": "silu",
    "nn.swish": "silu",
    "math.sigmoid": "sigmoid",
    "identity": "identity",
    "cast": "identity",
    "concat": "concat",
    "math.maximum": "maximum",
    "math.minimum": "minimum",
}
"""Plain arithmetic that Keras 2 writes as operations of TensorFlow, which has others that write files."""

_CONTAINERS = "Functional Model Sequential"

_LAYERS = """
Activation ActivityRegularization Add AlphaDropout Average AveragePooling2D BatchNormalization CenterCrop Concatenate
Conv2D Conv2DTranspose Cropping2D Dense DepthwiseConv2D Dot Dropout ELU Flatten GaussianDropout GaussianNoise
GlobalAveragePooling2D GlobalMaxPooling2D GroupNormalization Identity InputLayer LayerNormalization LayerScale LeakyReLU
MaxPooling2D Maximum Minimum Multiply Normalization PReLU Permute RMSNormalization RandomBrightness RandomContrast
RandomFlip RandomHeight RandomRotation RandomTranslation RandomWidth RandomZoom ReLU Rescaling Reshape Resizing
SeparableConv2D SlicingOpLambda Softmax SpatialDropout2D StochasticDepth Subtract SyncBatchNormalization TFOpLambda
UnitNormalization UpSampling2D ZeroPadding2D
"""

_OPERATIONS = """
Add Cast Concatenate Divide ExpandDims GetItem HardSigmoid HardSilu Max Maximum Mean Minimum Multiply Negative Pad Relu
Relu6 Reshape Sigmoid Silu Softmax Sqrt Square Squeeze Subtract Transpose TrueDivide
"""

_VALUES = """
Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal LecunUniform Ones
Orthogonal OrthogonalInitializer RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
L1 L1L2 L2 OrthogonalRegularizer MaxNorm MinMaxNorm NonNeg UnitNorm
DTypePolicy FloatDTypePolicy Policy TensorShape
__ellipsis__ __keras_tensor__ __numpy__ __slice__ __tensor__ __tuple__
"""

CLASSES = frozenset(f"{_CONTAINERS} {_LAYERS} {_OPERATIONS} {_VALUES}".split())
"""Every class by name."""

_ACTIVATIONS = """
celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear log_sigmoid
log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign swish tanh tanh_shrink
"""

ACTIVATIONS = frozenset(_ACTIVATIONS.split())
"""Functions that a layer may apply."""

MODULES = (
    "keras.layers",
    "keras.initializers",
    "keras.regularizers",
    "keras.constraints",
    "keras.models",
    "keras.activations",
    "keras.dtype_policies",
    "keras.mixed_precision",
    "keras.engine",
    "keras.src.models",
    "keras.src.ops",
    "keras.src.layers",
    "keras.src.engine",
    "keras.src.applications",
    "tf_keras.src.layers",
    "tf_keras.src.engine",
    "tensorflow.python.keras",
)
"""Where a class may come from, with everything below."""

_TRAINING = """
ActivityRegularization AlphaDropout Dropout GaussianDropout GaussianNoise RandomBrightness RandomContrast RandomFlip
RandomHeight RandomRotation RandomTranslation RandomWidth RandomZoom SpatialDropout2D StochasticDepth
"""

ONLY_IN_TRAINING = frozenset(_TRAINING.split())
"""Layers that do nothing outside training; leaving them out changes no number."""
