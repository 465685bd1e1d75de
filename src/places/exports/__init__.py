"""`places export`: a trained network in one file for others, compared with itself."""
