"""The networks a recipe can name; any `nn.Module` that takes a number of classes works too."""

from places.models.caffe_resnet import CaffeResNet
from places.models.resnet import ResNet
from places.models.vgg import VGG

__all__ = ["VGG", "CaffeResNet", "ResNet"]
