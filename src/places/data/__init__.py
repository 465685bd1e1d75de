"""From archives to batches: pack, plan, stream. Imports nothing, so that packing needs no torch."""
