"""The clips of a data set, split, packed and made ready for training.

``splits`` assigns clips to training, validation and test; ``clips`` and ``packing`` decode them,
``cache`` is where decoded ones are kept, and ``corpus`` puts all of this together for training.
``background`` reads noise and cuts silence from it; ``fingerprint`` recognises copies of a sound,
and ``copies`` keeps them in one split.
"""
