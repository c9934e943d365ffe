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
Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention AugMix
AutoContrast Average AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization Bidirectional CenterCrop
Concatenate ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D
Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Cropping1D Cropping2D Cropping3D Dense DepthwiseConv1D DepthwiseConv2D
Dot Dropout ELU EinsumDense Embedding Equalization Flatten GRU GRUCell GaussianDropout GaussianNoise
GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D
GlobalMaxPooling3D GroupNormalization GroupedQueryAttention Identity InputLayer LSTM LSTMCell LayerNormalization
LayerScale LeakyReLU Masking MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum MultiHeadAttention Multiply
Normalization PReLU Permute Pipeline RMSNormalization RNN RandAugment RandomBrightness RandomColorDegeneration
RandomColorJitter RandomContrast RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale
RandomHeight RandomHue RandomInvert RandomPerspective RandomPosterization RandomRotation RandomSaturation
RandomSharpness RandomShear RandomTranslation RandomWidth RandomZoom ReLU RepeatVector Rescaling Reshape Resizing
SeparableConv1D SeparableConv2D SimpleRNN SimpleRNNCell SlicingOpLambda Softmax Solarization SpatialDropout1D
SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells StochasticDepth Subtract SyncBatchNormalization
TFOpLambda ThresholdedReLU TimeDistributed UnitNormalization UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D
ZeroPadding2D ZeroPadding3D
"""

_OPERATIONS = """
Abs Absolute Add Amax Amin Average AveragePool Cast Celu Clip Concatenate Cos DepthToSpace Divide DotProductAttention
Einsum Elu Erf Exp ExpandDims Expm1 ExtractPatches Flip Gelu GetItem Glu HardSigmoid HardSilu HardTanh LayerNorm
LeakyRelu Log Log1p LogSigmoid LogSoftmax Logsumexp Matmul Max MaxPool Maximum Mean Min Minimum Moments Moveaxis
Multiply Negative Normalize Pad Power Prod RMSNorm Ravel Reciprocal Relu Relu6 Reshape Resize Roll Rsqrt Selu Sigmoid
Sign Silu Sin Slice SoftShrink Softmax Softplus Softsign SpaceToDepth Split Sqrt Square Squareplus Squeeze Stack Std
StopGradient Subtract Sum Swapaxes Tanh TanhShrink Transpose TrueDivide Unstack Var Where
"""

_VALUES = """
Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal LecunUniform Ones
Orthogonal OrthogonalInitializer RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
L1 L1L2 L2 OrthogonalRegularizer MaxNorm MinMaxNorm NonNeg UnitNorm
DTypePolicy FloatDTypePolicy Policy TensorShape
__ellipsis__ __keras_tensor__ __numpy__ __slice__ __tensor__ __tuple__
"""

OPERATIONS = frozenset(_OPERATIONS.split())
"""Operations of Keras 3, which stand in a graph as layers do."""

LAYERS = frozenset(_LAYERS.split()) | OPERATIONS
"""What a network is made of."""

CLASSES = LAYERS | frozenset(f"{_CONTAINERS} {_VALUES}".split())
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
ActivityRegularization AlphaDropout AugMix Dropout GaussianDropout GaussianNoise RandAugment RandomBrightness
RandomColorDegeneration RandomColorJitter RandomContrast RandomElasticTransform RandomErasing RandomFlip
RandomGaussianBlur RandomGrayscale RandomHeight RandomHue RandomInvert RandomPerspective RandomPosterization
RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation RandomWidth RandomZoom SpatialDropout1D
SpatialDropout2D SpatialDropout3D StochasticDepth
"""

ONLY_IN_TRAINING = frozenset(_TRAINING.split())
"""Layers that do nothing outside training; leaving them out changes no number."""
