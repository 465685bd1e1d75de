"""From shards to batches of pixels: plan, read, decode."""
