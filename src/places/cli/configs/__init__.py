"""`places config`: recipes shown with all defaults, compared, checked, described for editors."""
