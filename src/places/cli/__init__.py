"""The command line: the table of commands, LightningCLI, and what is said about mistakes."""
