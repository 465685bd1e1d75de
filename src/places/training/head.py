"""Training the last layer alone, on what a trained network sees: a linear probe."""

import warnings

from torch import nn

from places.console import say
from places.errors import ConfigError


def freeze_all_but_head(net: nn.Module) -> None:
    """Give gradients to the last `nn.Linear` of a network only.

    Parameters without gradients belong to no optimizer, and no process waits for them. What leads
    to the last layer keeps nothing for a backward pass either.

    Args:
        net: The network, changed in place.

    Raises:
        ConfigError: It has no `nn.Linear`.
    """
    head = _head_of(net)
    net.requires_grad_(False)
    head.requires_grad_(True)
    rest_all_but_head(net, mode=True)
    # Lightning wonders why layers do not train. They are not meant to.
    warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode at the start")


def rest_all_but_head(net: nn.Module, mode: bool) -> None:
    """Put the last layer into a mode and the rest into that of evaluation.

    So batch norms keep the statistics that they came with, and dropout drops nothing: a picture
    gives the same features whatever else is in its batch.

    Args:
        net: The network.
        mode: Whether the last layer is to be in training mode.
    """
    net.eval()
    _head_of(net).train(mode)


def tell_of_frozen(net: nn.Module, *, is_given: bool) -> None:
    """Say how many parameters are trained, and whether the others come from a file.

    Args:
        net: The network, frozen.
        is_given: Whether a file of weights or a checkpoint was given.
    """
    sizes = {True: 0, False: 0}
    for parameter in net.parameters():
        sizes[parameter.requires_grad] += parameter.numel()
    where = "" if is_given else ", as the network makes them: no --model.weights was given"
    say(f"{sizes[True]:,} parameters of the last layer are trained, {sizes[False]:,} stay{where}")


def _head_of(net: nn.Module) -> nn.Linear:
    linear = [module for module in net.modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ConfigError(
            f"model.train_only_head trains the last nn.Linear, and {type(net).__name__} has none",
            "train all of it:  --model.train_only_head false",
        )
    return linear[-1]
