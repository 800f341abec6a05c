"""Which clips a data set has, how they are split, packed and made ready for training.

``layouts`` finds the clips of a folder or manifest, ``manifest`` reads and writes manifests, and
``examples`` has what they return: ``Example`` and ``Dataset``. ``splits`` assigns them to training,
validation and test; ``clips`` and ``packing`` decode them, ``cache`` is where decoded ones are
kept, and ``corpus`` puts all of this together for training. ``background`` reads noise and cuts
silence from it; ``annotations`` are words and their times in long recordings.

A new layout of folders is an entry in ``LAYOUTS`` in ``layouts``, a new form of manifest one in
``FORMATS`` or ``DIALECTS`` in ``manifest``.
"""
