"""What loggers are told of a run beside its metrics: Weights & Biases, TensorBoard, MLflow."""
