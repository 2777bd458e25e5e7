"""The one tree of errors; every leaf says what a client sees and what the log says."""


class ForegateError(Exception):
    """Base of every error that Foregate raises on purpose."""


class MessageError(ForegateError):
    """A peer sent what no strict recipient may accept.

    ``status`` is what a downstream peer is answered with; ``kind`` is a short, fixed word for logs and metrics.
    An upstream's malformed response is always answered 502, whatever ``status`` says.
    """

    def __init__(self, kind: str, wording: str, status: int = 400) -> None:
        super().__init__(wording)
        self.kind = kind
        self.wording = wording
        self.status = status
