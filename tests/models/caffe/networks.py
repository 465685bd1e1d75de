"""A small VGG and a small ResNet as Caffe has them, and the same in PyTorch."""

import numpy as np
import torchvision
from tests.models.caffe.writer import Caffe, Floats
from torch import nn
from torchvision.models.resnet import Bottleneck
from torchvision.models.vgg import make_layers

from places.models.caffe_resnet import stride_as_in_caffe

NUM_CLASSES = 7
SIZE = 64
RELU = "ReLU"


def random(generator: np.random.Generator, *shape: int) -> Floats:
    """Weights of a size at which numbers neither vanish nor explode."""
    fan_in = int(np.prod(shape[1:])) or 1
    scale = np.sqrt(2 / fan_in) if len(shape) > 1 else 0.1
    return generator.normal(0, scale, shape).astype(np.float32)


def vgg(last: str = "fc8a") -> list[Caffe]:
    """Two stages of convolutions and three linear layers, called as in VGG16."""
    generator, layers = np.random.default_rng(1), []
    inputs = 3
    for stage, channels in enumerate([[8, 8], [12, 12]], 1):
        for number, outputs in enumerate(channels, 1):
            weight, bias = random(generator, outputs, inputs, 3, 3), random(generator, outputs)
            layers.append(Caffe(f"conv{stage}_{number}", "Convolution", [weight, bias], pad=1))
            layers.append(Caffe(f"relu{stage}_{number}", RELU))
            inputs = outputs
        pool = "pooling_param { pool: MAX kernel_size: 2 stride: 2 }"
        layers.append(Caffe(f"pool{stage}", "Pooling", text=pool))
    inputs = 12 * (SIZE // 4) ** 2
    for name, outputs in (("fc6", 16), ("fc7", 16), (last, NUM_CLASSES)):
        blobs = [random(generator, outputs, inputs), random(generator, outputs)]
        layers.append(Caffe(name, "InnerProduct", blobs))
        if name != last:
            layers.append(Caffe(f"relu_{name}", RELU))
        inputs = outputs
    return layers


def torch_vgg() -> nn.Module:
    """The same, with torchvision's names."""
    features = make_layers([8, 8, "M", 12, 12, "M"], batch_norm=False)
    net = torchvision.models.VGG(features, NUM_CLASSES, init_weights=False)
    net.avgpool = nn.Identity()
    net.classifier[0], net.classifier[3] = nn.Linear(12 * (SIZE // 4) ** 2, 16), nn.Linear(16, 16)
    net.classifier[6] = nn.Linear(16, NUM_CLASSES)
    module: nn.Module = net.eval()
    return module


def resnet(bias: bool = False, eps: float = 1e-5, factor: float = 0.5) -> list[Caffe]:
    """Four stages, of which the second has two blocks, called as in ResNet-152."""
    generator = np.random.default_rng(2)

    def norm(name: str, scale: str, channels: int) -> list[Caffe]:
        means = random(generator, channels) * factor
        variances = (1 + generator.random(channels).astype(np.float32)) * factor
        of_factor = np.array([factor], np.float32)
        gains = 1 + random(generator, channels)
        return [
            Caffe(name, "BatchNorm", [means, variances, of_factor], eps=eps),
            Caffe(scale, "Scale", [gains, random(generator, channels)]),
        ]

    stem = [random(generator, 64, 3, 7, 7), *([random(generator, 64)] if bias else [])]
    layers = [Caffe("conv1", "Convolution", stem, stride=2, pad=3)]
    layers += [*norm("bn_conv1", "scale_conv1", 64), Caffe("conv1_relu", RELU)]
    pool = "pooling_param { kernel_size: 3 stride: 2 pool: MAX }"
    layers.append(Caffe("pool1", "Pooling", text=pool))
    inputs, before = 64, "pool1"
    for stage, names in ((2, ["a"]), (3, ["a", "b1"]), (4, ["a"]), (5, ["a"])):
        width = 64 * 2 ** (stage - 2)
        for letter in names:
            block = f"{stage}{letter}"
            stride = 2 if letter == "a" and stage > 2 else 1
            shortcut = before
            if letter == "a":
                weight = random(generator, 4 * width, inputs, 1, 1)
                name = f"res{block}_branch1"
                conv = Caffe(name, "Convolution", [weight], stride, bottoms=[before])
                layers += [conv, *norm(f"bn{block}_branch1", f"scale{block}_branch1", 4 * width)]
                shortcut = f"scale{block}_branch1"
            sizes = {"2a": (width, inputs, 1), "2b": (width, width, 3), "2c": (4 * width, width, 1)}
            for branch, (outputs, ins, side) in sizes.items():
                weight = random(generator, outputs, ins, side, side)
                name = f"branch{branch}"
                conv = Caffe(f"res{block}_{name}", "Convolution", [weight], pad=side // 2)
                if branch == "2a":
                    conv.stride, conv.bottoms = stride, [before]
                layers += [conv, *norm(f"bn{block}_{name}", f"scale{block}_{name}", outputs)]
                if branch != "2c":
                    layers.append(Caffe(f"res{block}_{name}_relu", RELU))
            both = [shortcut, f"scale{block}_branch2c"]
            layers.append(Caffe(f"res{block}", "Eltwise", bottoms=both))
            layers.append(Caffe(f"res{block}_relu", RELU))
            inputs, before = 4 * width, f"res{block}_relu"
    pool = "pooling_param { pool: AVE global_pooling: true }"
    layers.append(Caffe("pool5", "Pooling", text=pool))
    head = [random(generator, NUM_CLASSES, inputs), random(generator, NUM_CLASSES)]
    return [*layers, Caffe("fc365", "InnerProduct", head)]


def torch_resnet() -> nn.Module:
    """The same, with torchvision's names."""
    net: nn.Module = torchvision.models.ResNet(Bottleneck, [1, 2, 1, 1], NUM_CLASSES).eval()
    stride_as_in_caffe(net)
    return net
