"""VGG: torchvision's network behind a constructor that a recipe can call with a depth."""

from typing import Literal

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.vgg import make_layers

from places.models.folded import folded_for_inference
from places.models.recompute import recomputed

# Convolutions in each of the five stages: columns A, B, D and E of table 1 of the paper.
_CONVOLUTIONS = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
_CHANNELS = (64, 128, 256, 512, 512)


class VGG(torchvision.models.VGG):  # type: ignore[misc]  # torchvision ships no types
    """Plain deep network of Simonyan & Zisserman 2014.

    Paper: "Very Deep Convolutional Networks for Large-Scale Image Recognition", arXiv 1409.1556.
    Names and shapes of the weights are torchvision's.

    Takes images `(N, 3, H, W)`, float, normalised, H and W of 32 or more (224 in the paper), and
    returns logits `(N, num_classes)`. Parameters at 365 classes: 130.3 M, 130.5 M, 135.8 M and
    141.1 M for the depths in rising order; 121.0 M of them are in the three linear layers, which
    `global_pool` replaces by one of 0.2 M.

    Args:
        num_classes: Number of categories, the width of the last layer, `classifier.6` or, with
            `global_pool`, `classifier.1`.
        depth: Number of layers with weights.
        batch_norm: Normalise after each convolution. The paper came before batch normalisation and
            has none; without it the deep ones are hard to train from scratch.
        dropout: Probability of dropping a unit after each of the first two linear layers; with
            `global_pool`, of dropping one of the 512 means.
        checkpoint_gradients: Keep the input of each of the five stages only and compute the rest
            again for the gradients: less memory for about a third more time. Results are the same.
        global_pool: Average the last maps and classify the 512 means by one linear layer, in place
            of three that see each of 7x7 places (Lin et al. 2013, "Network In Network", arXiv
            1312.4400). It also tells where a category was seen, as a ResNet does.
    """

    def __init__(
        self,
        num_classes: int,
        depth: Literal[11, 13, 16, 19] = 16,
        batch_norm: bool = True,
        dropout: float = 0.5,
        checkpoint_gradients: bool = False,
        global_pool: bool = False,
    ) -> None:
        if depth not in _CONVOLUTIONS:
            depths = ", ".join(map(str, _CONVOLUTIONS))
            raise ValueError(f"depth must be one of {depths}, not {depth}")
        layers: list[str | int] = []  # channels of each convolution, "M" for pooling
        for channels, num_convolutions in zip(_CHANNELS, _CONVOLUTIONS[depth], strict=True):
            layers += [channels] * num_convolutions + ["M"]
        features = make_layers(layers, batch_norm=batch_norm)
        if global_pool:
            # torchvision would first make 120 million weights.
            nn.Module.__init__(self)
            self.features = features
            self.avgpool = nn.AdaptiveAvgPool2d(1)
            self.classifier = nn.Sequential(
                nn.Dropout(dropout), nn.Linear(_CHANNELS[-1], num_classes)
            )
            _initialise(self)
        else:
            super().__init__(features, num_classes, dropout=dropout)
        self._checkpoint_gradients = checkpoint_gradients

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of normalised images."""
        logits: Tensor
        if not (self._checkpoint_gradients and self.training):
            logits = super().forward(images)
            return logits
        features, start = images, 0
        for end, layer in enumerate(self.features, 1):
            if isinstance(layer, nn.MaxPool2d):
                features = recomputed(self.features[start:end], features)
                start = end
        logits = self.classifier(torch.flatten(self.avgpool(features), 1))
        return logits

    def folded(self) -> nn.Module:
        """Return the same network for inference, see `places.models.folded`."""
        return folded_for_inference(self)


def _initialise(net: nn.Module) -> None:
    """Start all weights as torchvision does; batch norms are so already."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0, 0.01)
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
