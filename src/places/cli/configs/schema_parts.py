"""JSON Schema of classes and types, as `places config schema` puts them together."""

import inspect
import json
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import torch
from lightning.pytorch import (
    Callback,
    LightningDataModule,
    LightningModule,
    Trainer,
    callbacks,
    loggers,
)
from lightning.pytorch.loggers import Logger
from torch import nn
from torch.optim import SGD, Optimizer

from places import models
from places.classifier import SceneClassifier
from places.data import WebDataset
from places.data.image_files import ImageFiles
from places.data.places365 import Places365
from places.reports.predictions import Predictions
from places.reports.scoring_protocol import ScoringProtocol
from places.resume.best import BestCheckpoint
from places.resume.points import ResumePoints

Schema = dict[str, Any]

_DATA = (Places365, ImageFiles, WebDataset)
_MAX_DESCRIPTION = 300  # letters
# YAML 1.1 takes 1e-3 for a text; the parser reads it all the same.
_NUMBER: Schema = {
    "type": ["number", "string"],
    "pattern": r"^[-+]?([0-9.]+[eE][-+]?[0-9]+|\.?(inf|nan))$",
}
_PLAIN: dict[object, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: _NUMBER,
    str: {"type": "string"},
    Path: {"type": "string"},
    type(None): {"type": "null"},
}
_ANY_CLASS: Schema = {
    "type": "object",
    "required": ["class_path"],
    "additionalProperties": False,
    "properties": {
        "class_path": {"type": "string"},
        "init_args": {"type": ["object", "null"]},
        "dict_kwargs": {"type": ["object", "null"]},
    },
}


class Definitions:
    """The classes that were described so far."""

    def __init__(self) -> None:
        self.parts: dict[str, Schema] = {}

    def of_class(self, kind: type, num_given: int = 0) -> Schema:
        """Return a reference to the arguments of a class.

        Args:
            kind: The class.
            num_given: How many of its first arguments no recipe gives.
        """
        name = _short_path(kind)
        if name not in self.parts:
            self.parts[name] = {}  # it may be within itself
            self.parts[name] = self._arguments(kind, num_given)
        return {"$ref": f"#/$defs/{name}"}

    def _arguments(self, kind: type, num_given: int) -> Schema:
        hints, texts = _hints(kind), _texts(kind)
        parameters = list(inspect.signature(kind).parameters.values())[num_given:]
        is_open = any(p.kind is p.VAR_KEYWORD for p in parameters)
        properties = {
            p.name: self._argument(hints.get(p.name, Any), p.default, texts.get(p.name, ""))
            for p in parameters
            if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        }
        # callbacks+ adds to a list.
        lists = (name for name, part in properties.items() if '"array"' in json.dumps(part))
        more: dict[str, Schema] = {f"{name}+": {} for name in lists}
        found = {"type": ["object", "null"], "properties": properties | more}
        return found if is_open else found | {"additionalProperties": False}

    def _argument(self, annotation: object, default: object, text: str) -> Schema:
        found = dict(self.of_type(annotation))
        if text:
            found["description"] = text
        if isinstance(default, str | int | float | bool | tuple | list) and not callable(default):
            found["default"] = list(default) if isinstance(default, tuple) else default
        return found

    def of_type(self, annotation: Any) -> Schema:  # noqa: ANN401  # any annotation
        """Return what a recipe may write for a type; anything for one that is not known."""
        origin, parts = get_origin(annotation), get_args(annotation)
        if annotation in _PLAIN:
            return _PLAIN[annotation]
        if origin is Literal:
            return {"enum": list(parts)}
        if origin in (Union, types.UnionType):
            return self._any_of(parts)
        if _is_list(origin or annotation):
            return self._array(origin, parts)
        if _is_class(origin, Mapping) or _is_class(annotation, Mapping):
            return {"type": "object"}
        return self._of_base(_made(annotation))

    def _array(self, origin: object, parts: Sequence[object]) -> Schema:
        if origin is tuple and parts and ... not in parts:
            items = [self.of_type(part) for part in parts]
            return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}
        inner = self.of_type(parts[0]) if parts else {}
        return {"type": "array"} | ({"items": inner} if inner else {})

    def _any_of(self, parts: Sequence[object]) -> Schema:
        found: list[Schema] = []
        for part in map(self.of_type, parts):
            if not part:
                return {}
            found += part["anyOf"] if set(part) == {"anyOf"} else [part]
        # `typing` remembers the order that any library in the process wrote first.
        found.sort(key=json.dumps)
        return {"anyOf": [part for n, part in enumerate(found) if part not in found[:n]]}

    def _of_base(self, base: object) -> Schema:
        """Return what may be written for a class, or for something that makes one."""
        if isinstance(base, type) and issubclass(base, Enum):
            return {"enum": [member.name for member in base]}
        if isinstance(base, type) and is_dataclass(base):
            return self.of_class(base)
        for known, (kinds, default, num_given) in _known().items():
            if isinstance(base, type) and issubclass(base, known):
                name = f"any {known.__name__}"
                if name not in self.parts:
                    self.parts[name] = self.choice(kinds, default, num_given)
                return {"$ref": f"#/$defs/{name.replace(' ', '%20')}"}
        is_class = isinstance(base, type) and base.__module__.partition(".")[0] in (
            "lightning",
            "torch",
        )
        return {"anyOf": [{"type": "string"}, _ANY_CLASS]} if is_class else {}

    def choice(self, kinds: Sequence[type], default: type | None, num_given: int = 0) -> Schema:
        """Return what may be written where one of some classes, or another one, is to be chosen."""
        rules = [
            {
                "if": {"properties": {"class_path": {"enum": _names(kind)}}},
                "then": {"properties": {"init_args": self.of_class(kind, num_given)}},
            }
            for kind in kinds
        ]
        paths = [_short_path(kind) for kind in kinds]
        name = {"type": "string", "examples": paths}
        chosen = {**_ANY_CLASS, "properties": {**_ANY_CLASS["properties"], "class_path": name}}
        found: Schema = {"if": {"required": ["class_path"]}, "then": {**chosen, "allOf": rules}}
        if default is not None:  # its arguments alone
            arguments = self.of_class(default, num_given)
            within = {"properties": {"init_args": arguments}, "additionalProperties": False}
            found["else"] = {"anyOf": [arguments, {"required": ["init_args"], **within}]}
        return {"anyOf": [{"type": "string", "examples": paths}, {"type": "object", **found}]}


def recipe_properties(definitions: Definitions) -> dict[str, Schema]:
    """Return the keys of a recipe, of all stages."""
    data = definitions.choice([*_DATA], None)
    either = [definitions.of_class(kind) for kind in _DATA]
    data["anyOf"][1]["else"] = {"anyOf": either}
    return {
        "seed_everything": {
            "type": ["integer", "boolean"],
            "description": "Seed of the run.",
            "default": 0,
        },
        "model": definitions.choice([SceneClassifier], SceneClassifier),
        "data": data,
        "trainer": definitions.of_class(Trainer),
        "checkpoint": definitions.of_class(BestCheckpoint),
        "resume": definitions.of_class(ResumePoints),
        "predictions": definitions.of_class(Predictions),
        "ckpt_path": {"type": ["string", "null"]},
        "weights_only": {"type": ["boolean", "null"]},
        "trust": {"type": "array", "items": {"type": "string"}},
        "random_weights": {"type": "boolean"},
        "test": definitions.of_class(ScoringProtocol),
        "report": {"type": "boolean"},
        "verbose": {"type": "boolean"},
        "return_predictions": {"type": ["boolean", "null"]},
    }


def _known() -> dict[type, tuple[list[type], type | None, int]]:
    """Return for a base class those that are described, the default, and what they are given."""
    networks = [getattr(models, name) for name in models.__all__]
    return {
        LightningModule: ([SceneClassifier], None, 0),
        LightningDataModule: ([*_DATA], None, 0),
        nn.Module: (networks, models.ResNet, 1),
        Optimizer: (list(_classes(torch.optim, Optimizer)), SGD, 1),
        Callback: (list(_classes(callbacks, Callback)), None, 0),
        Logger: (list(_classes(loggers, Logger)), None, 0),
    }


def _classes(module: types.ModuleType, base: type) -> Iterator[type]:
    for name in sorted(vars(module)):
        kind = vars(module)[name]
        is_one = isinstance(kind, type) and issubclass(kind, base) and kind is not base
        if is_one and not name.startswith("_"):
            yield kind


def _made(annotation: object) -> object:
    """Return what is made by what an annotation takes: the class itself, or that of a callable."""
    if get_origin(annotation) is not None and _is_class(get_origin(annotation), Callable):
        return (get_args(annotation) or [None])[-1]
    return annotation


def _is_class(found: object, base: Any) -> bool:  # noqa: ANN401  # an abstract class
    return isinstance(found, type) and issubclass(found, base)


def _is_list(found: object) -> bool:
    is_text = found in (str, bytes)
    return found in (Iterator, Iterable, Sequence) or (
        _is_class(found, (list, tuple, set)) and not is_text
    )


def _short_path(kind: type) -> str:
    if getattr(models, kind.__name__, None) is kind:
        return f"places.models.{kind.__name__}"
    if kind is WebDataset:
        return "places.data.WebDataset"
    for module in (torch.optim, callbacks, loggers):
        if getattr(module, kind.__name__, None) is kind:
            return f"{module.__name__}.{kind.__name__}"
    return f"{kind.__module__}.{kind.__qualname__}"


def _names(kind: type) -> list[str]:
    """Return the names by which a recipe may choose a class."""
    return [
        *dict.fromkeys([_short_path(kind), kind.__name__, f"{kind.__module__}.{kind.__qualname__}"])
    ]


def _hints(kind: type) -> dict[str, Any]:
    """Return the types of the arguments of a class, without those that cannot be told.

    One by one: whether a package that one of them names was imported must not change the others.
    """
    constructor = inspect.unwrap(kind.__init__)  # type: ignore[misc]  # of a class
    known: dict[str, Any] = {}
    for name, annotation in getattr(constructor, "__annotations__", {}).items():

        def holder() -> None:
            """Hold the annotation."""

        holder.__annotations__ = {name: annotation}
        with suppress(Exception):  # annotations are code of their package
            known |= get_type_hints(holder, getattr(constructor, "__globals__", {}))
    return known


def _texts(kind: type) -> dict[str, str]:
    """Return what the docstrings of a class say of its arguments."""
    doc = f"{inspect.getdoc(kind) or ''}\n{inspect.getdoc(kind.__init__) or ''}"  # type: ignore[misc]  # of a class
    found = re.findall(r"^    (\w+)(?: \([^)]*\))?: (.+(?:\n {8}.+)*)", doc, flags=re.MULTILINE)
    texts = {name: " ".join(text.split()) for name, text in found}
    return {
        name: text if len(text) <= _MAX_DESCRIPTION else f"{text[:_MAX_DESCRIPTION]}..."
        for name, text in texts.items()
    }
