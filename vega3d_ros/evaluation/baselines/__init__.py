"""Baselines without images: what habits (constant) and words (blind) give away.

A model must beat them. ``text_prior`` guesses from the words of simulated questions, ``words``
from questions that are alike; ``recordings``, ``clips`` and ``benchmarks`` hold what each kind of
evaluation is compared with.
"""
