"""The networks, from features to logits, and the recogniser around them, from samples to logits.

``network`` has the interface of every network, ``zoo`` has all of them by name (``NETWORKS``,
``build_network``), ``recurrent`` the recurrent ones (``Recurrent``, ``Readout``), ``layers`` their
cells (``CELLS``), ``frontends`` what comes before the recurrence. ``recogniser`` builds a
``Recogniser``, ``size`` counts parameters and chooses a hidden size, ``load`` restores trained
weights.

A new recurrent cell is a layer and an entry in ``CELLS`` in ``layers``, and its equations in
``speechcls.explain.recurrence``; the architectures of that cell follow. The page of ``explain``
shows its gates, and runs it once its arithmetic is in ``templates/explain/cells.js``.

Any other network is a subclass of ``network.Network`` and a line in ``zoo.NETWORKS``::

    class MeanPool(Network):
        '''Linear layer on the mean frame.'''

        def __init__(self, config: NetworkConfig, n_features: int, n_outputs: int) -> None:
            super().__init__(config, n_features, n_outputs)
            self.output = nn.Linear(n_features, n_outputs)

        def forward(self, features: Tensor) -> Tensor:
            return self.output(features.mean(dim=1))

    NETWORKS["mean-pool"] = MeanPool
"""
