"""How a command ends before its work is done, and which processes end together."""
