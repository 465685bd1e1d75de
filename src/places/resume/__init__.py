"""What makes an interrupted run resume exactly: resume points, signals, seeds, its record."""
