"""FFCV in its raw mode: the pixels lie in its file, 13 times as large as the JPEGs."""

from functools import partial
from importlib.metadata import version

from ffcv_jpeg import open_loader
from measure import measure

if __name__ == "__main__":
    measure(partial(open_loader, mode="raw"), version("ffcv"))
