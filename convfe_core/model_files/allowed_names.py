"""What a model may name: lists of Keras' own layers and values that neither run code nor read files.

What Keras has besides is refused, each for its reason. A test goes through all of Keras 3 and tf-keras.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

TENSORFLOW_LAYERS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")
"""Layers of Keras 2 that call TensorFlow, which also has functions that write files; see `tensorflow_calls`."""

_CONTAINERS = "Functional Model Sequential"

_LAYERS = """
Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention AugMix
AutoContrast Average AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization Bidirectional CenterCrop
Concatenate ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D
Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Cropping1D Cropping2D Cropping3D CustomScaleLayer CutMix Dense
DepthwiseConv1D DepthwiseConv2D Dot Dropout ELU EinsumDense Embedding Equalization Flatten GRU GRUCell GaussianDropout
GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D
GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization GroupedQueryAttention Identity InputLayer LSTM LSTMCell
LayerNormalization LayerScale LeakyReLU Masking MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum MixUp
MultiHeadAttention Multiply Normalization PReLU Permute Pipeline RMSNormalization RNN RandAugment RandomBrightness
RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop RandomElasticTransform RandomErasing RandomFlip
RandomGaussianBlur RandomGrayscale RandomHeight RandomHue RandomInvert RandomPerspective RandomPosterization
RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation RandomWidth RandomZoom ReLU RepeatVector
Rescaling Reshape Resizing ReversibleEmbedding SeparableConv1D SeparableConv2D SimpleRNN SimpleRNNCell Softmax
Solarization SpatialDropout1D SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells StochasticDepth
Subtract SyncBatchNormalization ThresholdedReLU TimeDistributed UnitNormalization UpSampling1D UpSampling2D
UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
"""

_OPERATIONS = """
Abs Absolute AdaptiveAveragePool AdaptiveMaxPool Add AffineTransform All AllClose Amax Amin Angle Any Append Arccos
Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh Argmax Argmin Argpartition Argsort Array ArraySplit Average AveragePool
BatchNorm BinaryCrossentropy Bincount BitwiseAnd BitwiseInvert BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift
BitwiseXor BroadcastTo CDist CTCDecode CTCLoss Cast CategoricalCrossentropy Cbrt Ceil Celu Cholesky CholeskyInverse
Clip Concatenate Conj Conjugate Conv ConvTranspose ConvertToTensor Copy Corrcoef Correlate Cos Cosh CountNonzero
CropImages Cross Cumprod Cumsum Deg2rad DepthToSpace DepthwiseConv Det Diag Diagflat Diagonal Diff Digitize Divide
DivideNoNan Dot DotProductAttention Dsplit Dstack Eig Eigh Einsum ElasticTransform Elu EmptyLike Equal Erf Erfc Erfinv
Exp Exp2 ExpandDims Expm1 ExtractPatches ExtractSequences FFT FFT2 Fabs FakeQuantWithMinMaxVars Flip Fliplr Flipud
Floor FloorDivide Fmax Fmin Fmod Fold FullLike GaussianBlur Gcd Gelu GetItem Glu Greater GreaterEqual HSVToRGB
HardShrink HardSigmoid HardSilu HardTanh Heaviside Histogram Hsplit Hstack Hypot I0 IFFT2 IRFFT ISTFT Imag InTopK
Inner Inv IsIn Isclose Isfinite Isinf Isnan Isneginf Isposinf Isreal Kron LayerNorm Lcm Ldexp LeakyRelu LeftShift Less
LessEqual Log Log10 Log1p Log2 LogSigmoid LogSoftmax Logaddexp Logaddexp2 Logdet LogicalAnd LogicalNot LogicalOr
LogicalXor Logsumexp Lstsq LuFactor MapCoordinates Matmul MatrixRank Max MaxPool Maximum Mean Median Meshgrid Min
Minimum Mish Mod Moments Moveaxis MultiHot Multiply NanToNum Nanargmax Nanargmin Nancumprod Nancumsum Nanmax Nanmean
Nanmedian Nanmin Nanpercentile Nanprod Nanquantile Nanstd Nansum Nanvar Ndim Negative Nextafter Nonzero Norm Normalize
NotEqual OneHot OnesLike Outer PSNR Pad PadImages Percentile PerspectiveTransform Pinv Polar Power Prod Ptp Qr
Quantile RFFT RGBToGrayscale RGBToHSV RMSNorm Rad2deg Ravel ReLU Real Rearrange Reciprocal Relu Relu6 Repeat Reshape
Resize RightShift Roll Rot90 Round Rsqrt SSIM STFT SVD SaturateCast ScaleAndTranslate Scatter ScatterUpdate
SearchSorted SegmentMax SegmentMin SegmentProd SegmentSum Select Selu SeparableConv Sigmoid Sign
Signbit Silu Sin Sinc Sinh Size Slice SliceUpdate Slogdet SobelEdges SoftShrink Softmax Softplus Softsign Solve
SolveTriangular Sort SpaceToDepth SparseCategoricalCrossentropy SparsePlus SparseSigmoid Sparsemax Split Sqrt Square
Squareplus Squeeze Stack Std StopGradient Subtract Sum Swapaxes Take TakeAlongAxis Tan Tanh TanhShrink Tensordot
Threshold Tile TopK Trace Transpose Trapezoid Tril Triu TrueDivide Trunc Unfold Unique UnravelIndex Unstack Vander Var
Vdot View ViewAsComplex ViewAsReal Vsplit Vstack Where ZerosLike
"""

_VALUES = """
Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal LecunUniform Ones
Orthogonal OrthogonalInitializer RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
STFT L1 L1L2 L2 OrthogonalRegularizer MaxNorm MinMaxNorm NonNeg RadialConstraint UnitNorm
AWQDTypePolicy DTypePolicy DTypePolicyMap FloatDTypePolicy GPTQDTypePolicy Int4DTypePolicy Policy QuantizedDTypePolicy
QuantizedFloat8DTypePolicy TensorShape
AWQConfig AbsMaxQuantizer Float8QuantizationConfig GPTQConfig Int4QuantizationConfig Int8QuantizationConfig
__ellipsis__ __keras_tensor__ __numpy__ __slice__ __tensor__ __tuple__
"""

OPERATIONS = frozenset(_OPERATIONS.split())
"""Operations of Keras 3, which stand in a graph as layers do."""

LAYERS = frozenset(_LAYERS.split()) | OPERATIONS | frozenset(TENSORFLOW_LAYERS)
"""What a network is made of."""

CLASSES = LAYERS | frozenset(f"{_CONTAINERS} {_VALUES}".split())
"""Every class by name."""

_ACTIVATIONS = """
celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear log_sigmoid
log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid sparsemax
squareplus swish tanh tanh_shrink threshold
"""

ACTIVATIONS = frozenset(_ACTIVATIONS.split())
"""Functions that a layer may apply."""

_HOMES = {
    "keras": "layers initializers regularizers constraints models activations dtype_policies quantizers "
    "mixed_precision engine",
    "keras.src": "models ops layers engine applications activations constraints dtype_policies initializers quantizers "
    "regularizers",
    "tf_keras.src": "applications layers engine",
    "tensorflow.python": "keras",
}
MODULES = tuple(f"{package}.{home}" for package, homes in _HOMES.items() for home in homes.split())
"""Where a class may come from, with everything below."""

_TRAINING = """
ActivityRegularization AlphaDropout AugMix CutMix Dropout Equalization GaussianDropout GaussianNoise MixUp RandAugment
RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop RandomElasticTransform
RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHeight RandomHue RandomInvert RandomPerspective
RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation RandomWidth
RandomZoom Solarization SpatialDropout1D SpatialDropout2D SpatialDropout3D StochasticDepth
"""

ONLY_IN_TRAINING = frozenset(_TRAINING.split())
"""Layers that do nothing outside training; leaving them out changes no number."""

_FOREIGN_CODE = "runs program code that is not Keras' own"
_CALLS_FUNCTIONS = "calls functions, which are program code"
_NOTHING = "only stands for classes that are made from it, and does nothing by itself"
_WORDS = "works on words or on columns of a table, and may read them from another file"
_TABLE = "works on columns of a table, not on pictures"
_SOUND = "works on sound, not on pictures"
_OUTDATED = "is of Keras 2 alone: Keras 3 has no such layer any more"
_NUMBERS = "makes numbers from its settings alone, not from a picture"

_REASONS = {
    "FlaxLayer JaxLayer TFSMLayer TorchModuleWrapper": _FOREIGN_CODE,
    "AssociativeScan Cond ForiLoop Function JVP Map Scan Switch VectorizedMap WhileLoop": _CALLS_FUNCTIONS,
    "AbstractRNNCell InputSpec Layer Operation PreprocessingLayer Wrapper": _NOTHING,
    "Constraint Initializer QuantizationConfig Quantizer Regularizer SegmentReduction": _NOTHING,
    "DynamicLookup FeatureSpace IntegerLookup StringLookup TextVectorization": _WORDS,
    "CategoryEncoding DenseFeatures Discretization HashedCrossing Hashing": _TABLE,
    "MelSpectrogram STFTSpectrogram": _SOUND,
    "DynamicEmbedding LocallyConnected1D LocallyConnected2D RandomFourierFeatures": _OUTDATED,
    "Arange Full Geomspace Linspace Logspace": _NUMBERS,
    "MaxNumBoundingBoxes": "works on boxes beside a picture, and the networks here take a picture alone",
}

REGISTERED = "Custom>CustomScaleLayer"
"""What Keras 2 calls a layer of its own that it registered like a user's; no other name with a ``>`` is Keras'."""

REFUSED = {kind: reason for kinds, reason in _REASONS.items() for kind in kinds.split()}
"""What of Keras is not opened, and why."""


def layers_of_applications(package: str) -> dict[str, Any]:
    """Layer classes that Keras Applications has for itself, by name; Keras' loaders do not know them from HDF5 files.

    Parameters
    ----------
    package : ``keras`` or ``tf_keras``
    """
    homes = {"inception_resnet_v2": ("CustomScaleLayer",), "convnext": ("LayerScale", "StochasticDepth")}
    return {
        name: getattr(import_module(f"{package}.src.applications.{home}"), name)
        for home, names in homes.items()
        for name in names
    }
