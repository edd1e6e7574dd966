"""Learning: batches, losses, the training loop, layer-wise pretraining."""
