"""The one error that recordings raise."""

from __future__ import annotations


class RecordingError(ValueError):
    """A recording cannot be used; the message says what was found, expected and what to do."""
