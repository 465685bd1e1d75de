"""`--model.net timm.models.ConvNeXt`: a class may take `num_classes` anywhere among its arguments.

jsonargparse leaves out the first argument of a class that a callable makes, as what the caller
gives. There is no setting to leave out another one, so its function that chooses is wrapped.
`tests/cli/test_net_arguments.py` fails when a release changes it.
"""

import functools
from typing import Any

from jsonargparse import _typehints
from torch import nn

from places.config.num_classes import NAME, takes_by_name

_ITS: Any = _typehints  # it types what is public only


@functools.cache
def leave_out_num_classes() -> None:
    """Have `num_classes` left out of the options of a network, whatever its place."""
    choose = _ITS.adapt_partial_callable_class

    def chosen(kind: Any, spec: Any) -> tuple[Any, set[Any] | None]:  # noqa: ANN401  # its own
        found, left_out = choose(kind, spec)
        made = _ITS.get_callable_return_type(kind)
        is_net = isinstance(made, type) and issubclass(made, nn.Module)
        if left_out and is_net and takes_by_name(_ITS.import_object(found["class_path"])):
            left_out = {NAME}
        return found, left_out

    setattr(_ITS, choose.__name__, chosen)
