"""Frozen generative models as sources of spatial features: frames in, generative tokens out.

One file per model family behind the protocol of ``base.Prior``; exact speed-ups live
beside the model they belong to. Import the family's module itself: this package imports nothing.
"""
