"""Checkpoints: written whole, read as data, found by the name of a run or behind a URL."""
