"""From a data set to a saved model: batches, the training loop, publishing.

``run`` trains a model as the command does, ``settings`` holds everything that decides how, ``loop``
is the training loop. The others are parts of these: ``plan`` reads the data and builds the network,
``batches`` and ``stream_batches`` feed the loop, ``optimisation`` makes its steps, ``publish``
exports, scores and saves, ``checkpoint`` keeps the state of an unfinished training. On several
processes, see ``speechcls.distributed``, each of these works on its part of a batch.
"""
