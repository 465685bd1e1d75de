"""`places leaderboard`: results beside each other and beside published ones."""
