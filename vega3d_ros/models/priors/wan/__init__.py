"""Wan, a video diffusion transformer, as a prior."""
