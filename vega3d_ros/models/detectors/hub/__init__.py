"""Detectors of transformers, from folders that are on disk."""
