"""Definitions of every score, one module each.

``simulated`` scores the simulator's questions, ``intervals`` says how sure a score is. The others
are the published benchmarks': each equals what the official evaluator prints on the same
predictions, and names a second number where the official way is a quirk. They take rows with the
field names of the official prediction files, as :mod:`vega3d_ros.evaluation.tasks` writes
them.
"""
