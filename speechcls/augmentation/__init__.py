"""Random changes of training clips, on any device.

``transforms``: ``augment``, ``TRANSFORMS``, ``mask_features``, ``make_non_words``. ``speed``: one
of them. ``noise``: background noise, its colours and babble. ``draws``: the generators, and how
draws get to a device.

A new augmentation is a function and an entry in ``TRANSFORMS``, and its settings are fields of
``TrainConfig`` in ``speechcls.config``, from which options and config files follow, and
``speechcls.cli.train`` names those of its panel.
"""
