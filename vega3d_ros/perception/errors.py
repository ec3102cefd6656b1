"""The error of this room."""


class PerceiverError(ValueError):
    """A clip or a question that cannot be used; the message says what to change."""
