"""Trained networks for programs: `places.load`, and what it answers."""
