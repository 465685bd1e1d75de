"""What `places bench networks` measures, each kind of measurement in a file of its own."""
