"""The base of every error that this package raises on purpose."""


class Vega3dError(Exception):
    """Something the caller can put right; the message says what is wrong and what to do.

    Most of its kinds are a ValueError or a RuntimeError as well. Any other exception is a bug.
    """
