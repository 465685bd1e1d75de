"""Train, validate, test and run scene classifiers on Places365; `places.load` for programs."""

TYPE_CHECKING = False  # as that of typing, which takes longer to import than all of this

if TYPE_CHECKING:
    from places import data as data
    from places import errors as errors
    from places import models as models
    from places.trained.loading import load as load  # used as places.load
    from places.trained.model import TrainedModel as TrainedModel
    from places.trained.results import Category as Category
    from places.trained.results import Prediction as Prediction

__version__ = "0.1.0"
__all__ = ["Category", "Prediction", "TrainedModel", "data", "errors", "load", "models"]


def __getattr__(name: str) -> object:
    # Imported when they are asked for, since they need torch, which takes seconds.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if name in ("data", "errors", "models"):
        return import_module(f"places.{name}")
    if name == "load":
        from places.trained.loading import load

        return load
    if name == "TrainedModel":
        from places.trained.model import TrainedModel

        return TrainedModel
    found: object = getattr(import_module("places.trained.results"), name)
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
