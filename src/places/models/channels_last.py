"""Which networks cannot be trained on a processor with the channels last in memory."""

from torch import nn

_FEWEST_CHANNELS = 16  # that fill one of the longest registers


def overwriting_layers(net: nn.Module) -> list[str]:
    """Return the names of layers whose gradients overwrite memory that is not theirs.

    On a processor, with the channels last in memory, PyTorch's library for convolutions (oneDNN)
    gives the gradients of 1x1 convolutions with a stride too little room where they have fewer
    channels than a register (https://github.com/uxlfoundation/oneDNN/issues/6035, open on
    2026-11-26; seen with torch 2.14.1 in pictures of 224 pixels). The process ends by SIGSEGV or
    SIGABRT some steps later, or not at all.

    Args:
        net: Any network.
    """
    return [
        name
        for name, layer in net.named_modules()
        if isinstance(layer, nn.Conv2d)
        and layer.kernel_size == (1, 1)
        and max(layer.stride) > 1
        and layer.in_channels // layer.groups < _FEWEST_CHANNELS
    ]
