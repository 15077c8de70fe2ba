"""Linen models, with explicit variables and pure `apply`."""

from robustjax.models.box_regressor import BoxRegressor as BoxRegressor
from robustjax.models.convolution import Conv as Conv
from robustjax.models.convolution import conv2d as conv2d
from robustjax.models.frozen_resnet import preprocess_imagenet as preprocess_imagenet
from robustjax.models.frozen_resnet import resnet_features as resnet_features
from robustjax.models.heteroscedastic import (
    HeteroscedasticClassifier as HeteroscedasticClassifier,
)
from robustjax.models.heteroscedastic import HeteroscedasticHead as HeteroscedasticHead
from robustjax.models.loss_predicting import (
    LossPredictingClassifier as LossPredictingClassifier,
)
from robustjax.models.mlp import MLP as MLP
from robustjax.models.mqnet import LossPredictor as LossPredictor
from robustjax.models.mqnet import MQNet as MQNet
from robustjax.models.nine_layer_cnn import NineLayerCNN as NineLayerCNN
from robustjax.models.noise_adaptation import NoiseAdaptation as NoiseAdaptation
from robustjax.models.noise_adaptation import (
    NoiseAdaptedClassifier as NoiseAdaptedClassifier,
)
from robustjax.models.noise_adaptation import confusion_bias as confusion_bias
from robustjax.models.noise_adaptation import fallback_bias as fallback_bias
from robustjax.models.noise_adaptation import replace_bias as replace_bias
from robustjax.models.normalization import BatchNorm as BatchNorm
from robustjax.models.pooling import max_pool2 as max_pool2
from robustjax.models.preact_resnet import PreActResNet as PreActResNet
from robustjax.models.resnet import ResNet as ResNet
from robustjax.models.resnet_weights import convert_resnet as convert_resnet
from robustjax.models.resnet_weights import infer_depth as infer_depth
from robustjax.models.resnet_weights import load_resnet_weights as load_resnet_weights
from robustjax.models.small_cnn import SmallCNN as SmallCNN
from robustjax.models.wide_resnet import WideResNet as WideResNet
