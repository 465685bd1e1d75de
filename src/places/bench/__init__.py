"""Measurements of the tool itself: what a run would cost, and where the time goes."""
