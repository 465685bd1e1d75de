"""The loader of `places` on shards of which half the pictures are raw."""

from functools import partial

from measure import measure
from places_threads import open_loader

import places

if __name__ == "__main__":
    measure(partial(open_loader, shards="mixed_shards"), places.__version__)
