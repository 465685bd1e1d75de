"""`--model.net VGG`: a bare name that our classes share with others means ours.

jsonargparse refuses it, since torchvision has a class of that name, too. There is no setting for
that, so its function that looks up bare names is wrapped, a private part of it.
`tests/cli/test_bare_names.py` fails when a release changes it.
"""

import functools
import re
from typing import Any

from jsonargparse import _typehints

# How the classes are listed in its message.
_OURS = re.compile(r"\bplaces\.[\w.]+\w")


@functools.cache
def prefer_ours() -> None:
    """Let a name of several classes stand for ours, if one of them is ours; nothing else changes.

    What is found was imported before: a name without a dot imports nothing.
    """
    look_up = _typehints.resolve_class_path_by_name

    def resolve(base: Any, name: str) -> str:  # noqa: ANN401  # a class or several
        try:
            path: str = look_up(base, name)
        except ValueError as error:
            ours = [path for path in _OURS.findall(str(error)) if path.endswith(f".{name}")]
            if len(ours) != 1:
                raise
            return str(ours[0])
        return path

    setattr(_typehints, look_up.__name__, resolve)
