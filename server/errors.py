"""Errors that end the server before it serves."""


class StartError(RuntimeError):
    """The server cannot start, or must not go on without a part of it: str() is one sentence for the operator."""
