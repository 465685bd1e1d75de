"""What differs between two resolved configs, why, and how it is told."""
