"""The networks a recipe can name; any `nn.Module` that takes a number of classes works too."""

from places.models.caffe_resnet import CaffeResNet
from places.models.csail import AlexNet, DenseNet161, WideResNet18
from places.models.repvgg import RepVGG
from places.models.resnet import ResNet
from places.models.vgg import VGG

__all__ = ["VGG", "AlexNet", "CaffeResNet", "DenseNet161", "RepVGG", "ResNet", "WideResNet18"]
