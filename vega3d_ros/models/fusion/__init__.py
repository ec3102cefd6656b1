"""Projectors and gates that fuse generative with semantic tokens."""
