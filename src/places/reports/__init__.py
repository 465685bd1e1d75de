"""What a run leaves for people: scores, predictions, submissions, figures."""
