"""Linen models, with explicit variables and pure `apply`."""

from robustjax.models.convolution import Conv as Conv
from robustjax.models.convolution import conv2d as conv2d
from robustjax.models.frozen_resnet import preprocess_imagenet as preprocess_imagenet
from robustjax.models.frozen_resnet import resnet_features as resnet_features
from robustjax.models.mlp import MLP as MLP
from robustjax.models.pooling import max_pool2 as max_pool2
from robustjax.models.resnet import ResNet as ResNet
from robustjax.models.resnet_weights import convert_resnet as convert_resnet
from robustjax.models.resnet_weights import infer_depth as infer_depth
from robustjax.models.resnet_weights import load_resnet_weights as load_resnet_weights
from robustjax.models.small_cnn import SmallCNN as SmallCNN
