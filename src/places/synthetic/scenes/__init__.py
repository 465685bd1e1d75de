"""Draw scenes that look like some of the categories: the pictures of the synthetic Places365."""
