"""Shards read from their first byte to their last by webdataset's own reader, in processes."""
