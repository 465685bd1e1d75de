"""What a training step needs beside the network: augmentation, schedules, scores."""
