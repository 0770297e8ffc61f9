"""`Refusal`: the answer to a request that gets no other."""

import json


class Refusal(Exception):  # noqa: N818 - the client's error, not the server's
    """A request is refused.

    Args:
        status: the HTTP status: 4xx if the request must change, 503 if the same may work later.
        message: what is wrong.
        advice: what to do.
    """

    def __init__(self, status: int, message: str, advice: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.advice = advice

    def body(self) -> bytes:
        """Return the body of the answer."""
        return json.dumps({"error": self.message, "advice": self.advice}).encode()

    def headers(self) -> dict[str, str]:
        """Return the headers of the answer."""
        return {"Retry-After": "1"} if self.status == 503 else {}
