"""What happens around the stages: files, figures, checkpoints. Never inside a step."""
