"""Seeing and answering: what turns clips into scenes."""
