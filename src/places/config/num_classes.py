"""How a network is told its number of classes: by its name, or as its first argument."""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from inspect import Parameter
from typing import Any

NAME = "num_classes"
_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def call_with_num_classes(make: Callable[..., Any], num_classes: object) -> Any:  # noqa: ANN401  # a network
    """Make a network for a number of classes.

    Networks of torchvision and timm have other arguments before it, and their functions would take
    a first argument for something else: `timm.models.resnet18(365)` fetches weights.

    Args:
        make: A class or a function, or a `partial` of one. It is given `num_classes` by that name
            if it has an argument so called, or passes options on; else as its first argument.
        num_classes: Number of classes.
    """
    return make(num_classes=num_classes) if takes_by_name(_inner(make)) else make(num_classes)


def takes_by_name(make: Any) -> bool:  # noqa: ANN401  # a class or a function
    """Tell whether a class or a function takes `num_classes` by that name."""
    for parameters in _signatures(make):
        if NAME in parameters:
            return parameters[NAME].kind is not Parameter.POSITIONAL_ONLY
        kinds = {parameter.kind for parameter in parameters.values()}
        is_needed = any(
            parameter.kind in _POSITIONAL and parameter.default is Parameter.empty
            for parameter in parameters.values()
        )
        if is_needed or Parameter.VAR_KEYWORD not in kinds:
            return False
        if not inspect.isclass(make):
            return Parameter.VAR_POSITIONAL not in kinds
    return False


def _signatures(make: Any) -> Iterator[dict[str, Parameter]]:  # noqa: ANN401  # see above
    """Yield the parameters of a function; of a class those of each constructor that it leads to."""
    is_class = inspect.isclass(make)
    kinds = make.__mro__ if is_class else ()
    functions = [vars(kind)["__init__"] for kind in kinds if "__init__" in vars(kind)]
    for function in functions if is_class else [make]:
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):  # written in C
            return
        yield {parameter.name: parameter for parameter in parameters[is_class:]}


def _inner(make: Any) -> Any:  # noqa: ANN401  # see above
    """Return what a `partial` calls in the end, whose other arguments are given by name."""
    while isinstance(make, partial):
        # Those of jsonargparse are of a function of its own that takes the class.
        is_its = getattr(make.func, "__module__", "").startswith("jsonargparse.")
        make = make.args[-1] if is_its and make.args else make.func
    return make
