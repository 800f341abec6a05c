"""From a corpus to a saved model: augmentation, batches, the training loop."""
