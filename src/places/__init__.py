"""Train, validate, test and run scene classifiers on Places365."""

__version__ = "0.1.0"
