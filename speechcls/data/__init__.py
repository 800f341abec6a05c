"""Which clips a data set has, how they are split, packed and made ready for training."""
