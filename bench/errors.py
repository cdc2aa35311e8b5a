"""What may go wrong and is said in one sentence."""


class BenchError(Exception):
    """What keeps a benchmark from running, in one sentence."""
