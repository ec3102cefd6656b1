"""Recordings played into a perception node over real topics."""
