"""How good a model is, with what it must be compared to.

``heldout`` asks a model about simulated clips it has never seen and scores what it says,
``metrics`` defines the scores, ``baselines`` answers without looking, ``report`` writes it all
down, ``benchmarks`` are those that others have published.

Recordings: ``offline`` runs one through the node's own code and ``live`` brings what a live node
said into the same form (``log``); ``truth``, ``rows``, ``summary`` and ``figures`` score it,
``cases``, ``bag_report`` and ``html`` show it. ``job`` is one recording from beginning to end,
``workers`` and ``ray_workers`` do many at once. ``command`` is ``vega3d evaluate``, ``compare``
holds two runs against each other.
"""
