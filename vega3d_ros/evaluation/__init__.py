"""How good a model is, with what it must be compared to.

``heldout`` asks a model about simulated clips it has never seen and scores what it says,
``metrics`` defines the scores, ``baselines`` answers without looking, ``report`` writes it all
down, ``command`` is ``vega3d evaluate``, ``benchmarks`` are those that others have published.
"""
