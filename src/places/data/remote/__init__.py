"""Shards behind a URL: fetched, cached, prefetched in the order they are read."""
