"""Recipes: where they are found, how they are compared, what numbers may be in them."""
