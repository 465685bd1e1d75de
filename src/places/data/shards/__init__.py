"""The bare format of shards: manifest, index, tar headers."""
