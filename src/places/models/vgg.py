"""VGG: torchvision's network behind a constructor that a recipe can call with a depth."""

from typing import Literal

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.vgg import make_layers

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
    141.1 M for the depths in rising order; 121.0 M of them are in the three linear layers.

    Args:
        num_classes: Number of categories, the width of the last layer `classifier.6`.
        depth: Number of layers with weights.
        batch_norm: Normalise after each convolution. The paper came before batch normalisation and
            has none; without it the deep ones are hard to train from scratch.
        dropout: Probability of dropping a unit after each of the first two linear layers.
        checkpoint_gradients: Keep the input of each of the five stages only and compute the rest
            again for the gradients: less memory for about a third more time. Results are the same.
    """

    def __init__(
        self,
        num_classes: int,
        depth: Literal[11, 13, 16, 19] = 16,
        batch_norm: bool = True,
        dropout: float = 0.5,
        checkpoint_gradients: bool = False,
    ) -> None:
        if depth not in _CONVOLUTIONS:
            depths = ", ".join(map(str, _CONVOLUTIONS))
            raise ValueError(f"depth must be one of {depths}, not {depth}")
        layers: list[str | int] = []  # channels of each convolution, "M" for pooling
        for channels, num_convolutions in zip(_CHANNELS, _CONVOLUTIONS[depth], strict=True):
            layers += [channels] * num_convolutions + ["M"]
        super().__init__(make_layers(layers, batch_norm=batch_norm), num_classes, dropout=dropout)
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
