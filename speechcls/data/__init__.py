"""The clips of a data set, split, packed and made ready for training.

``segments`` tells long takes from clips and takes them apart. ``splits`` assigns clips to training,
validation and test; ``fingerprint`` recognises copies of a sound, and ``copies`` keeps them in one
split. ``clips`` and ``packing`` decode clips, ``cache`` is where decoded ones are kept.
``background`` reads noise and cuts silence from it, ``reviewed`` makes clips of judged events.
``corpus`` puts all of this together for training.
"""
