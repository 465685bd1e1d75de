"""The loader of `places` on raw shards: pixels lie ready, the rows of a crop are read."""

from functools import partial

from measure import measure
from places_threads import open_loader

import places

if __name__ == "__main__":
    measure(partial(open_loader, shards="raw_shards"), places.__version__)
