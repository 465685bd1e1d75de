"""Augmentation, learning rate schedules, weight averaging and scores."""
