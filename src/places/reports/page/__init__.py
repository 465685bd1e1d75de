"""report.html: what a run was and what came out of it, or several runs beside each other."""
