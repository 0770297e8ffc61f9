"""Classifying with trained weights; nothing in here imports Lightning, torchvision, torchmetrics or TensorBoard."""
