"""The drawn sample data set."""
