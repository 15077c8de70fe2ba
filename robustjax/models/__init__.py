"""Linen models, with explicit variables and pure `apply`."""

from robustjax.models import language as language
from robustjax.models._box_regressor import BoxRegressor as BoxRegressor
from robustjax.models._cifar_resnet import CifarResNet as CifarResNet
from robustjax.models._convolution import Conv as Conv
from robustjax.models._convolution import conv2d as conv2d
from robustjax.models._frozen_resnet import preprocess_imagenet as preprocess_imagenet
from robustjax.models._frozen_resnet import resnet_features as resnet_features
from robustjax.models._heteroscedastic import (
    HeteroscedasticClassifier as HeteroscedasticClassifier,
)
from robustjax.models._heteroscedastic import HeteroscedasticHead as HeteroscedasticHead
from robustjax.models._hex import HexClassifier as HexClassifier
from robustjax.models._hex import NeuralCooccurrence as NeuralCooccurrence
from robustjax.models._hex import project_out as project_out
from robustjax.models._loss_predicting import (
    LossPredictingClassifier as LossPredictingClassifier,
)
from robustjax.models._mlp import MLP as MLP
from robustjax.models._mqnet import LossPredictor as LossPredictor
from robustjax.models._mqnet import MQNet as MQNet
from robustjax.models._nine_layer_cnn import NineLayerCNN as NineLayerCNN
from robustjax.models._noise_adaptation import NoiseAdaptation as NoiseAdaptation
from robustjax.models._noise_adaptation import (
    NoiseAdaptedClassifier as NoiseAdaptedClassifier,
)
from robustjax.models._noise_adaptation import confusion_bias as confusion_bias
from robustjax.models._noise_adaptation import fallback_bias as fallback_bias
from robustjax.models._noise_adaptation import replace_bias as replace_bias
from robustjax.models._normalization import BatchNorm as BatchNorm
from robustjax.models._pgd_cnn import FourByFourCNN as FourByFourCNN
from robustjax.models._pooling import max_pool2 as max_pool2
from robustjax.models._preact_resnet import PreActResNet as PreActResNet
from robustjax.models._resnet import ResNet as ResNet
from robustjax.models._resnet_weights import convert_resnet as convert_resnet
from robustjax.models._resnet_weights import infer_depth as infer_depth
from robustjax.models._resnet_weights import load_resnet_weights as load_resnet_weights
from robustjax.models._small_cnn import SmallCNN as SmallCNN
from robustjax.models._swapping_autoencoder import (
    ImageDiscriminator as ImageDiscriminator,
)
from robustjax.models._swapping_autoencoder import (
    PatchDiscriminator as PatchDiscriminator,
)
from robustjax.models._swapping_autoencoder import SwapEncoder as SwapEncoder
from robustjax.models._swapping_autoencoder import SwapGenerator as SwapGenerator
from robustjax.models._torch_dense import TorchDense as TorchDense
from robustjax.models._two_encoders import TwoEncoderClassifier as TwoEncoderClassifier
from robustjax.models._wide_resnet import WideResNet as WideResNet
