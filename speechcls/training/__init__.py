"""From a data set to a saved model: augmentation, batches, the training loop.

``run`` trains a model as the command does, ``settings`` holds everything that decides how, ``loop``
is the training loop, and ``augment`` has the table of augmentations. The others are parts of these:
``batches`` and ``stream_batches`` feed the loop, ``noise`` makes backgrounds, ``publish`` exports,
scores and saves, ``checkpoint`` keeps the state of an unfinished training, and ``tensorboard`` logs
its course.

A new augmentation is a function and an entry in ``TRANSFORMS`` in ``augment``, and its settings are
fields of ``TrainConfig`` in ``speechcls.config``, from which options and config files follow, and
``speechcls.cli.train`` names those of its panel.
"""
