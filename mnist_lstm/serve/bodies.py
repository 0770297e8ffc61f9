"""Take the picture out of a request: as its whole body, or as a file of a form. Nothing touches the disk."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from mnist_lstm.serve.refusal import Refusal

MAX_BYTES = 16 * 2**20  # of one body; photographs of phones have 2 to 12 MB
MAX_REQUESTS = 128  # that are read, wait or are worked on at once
MAX_BYTES_AT_ONCE = 8 * MAX_BYTES  # of the bodies of all these
BODY_SECONDS = 20  # in which a body must arrive
FIELD = "picture"

HOW_TO_SEND = (
    f"send the bytes of one picture with Content-Type image/png or the like, or a form with one file, {FIELD}: "
    f"curl -F {FIELD}=@FILE, or curl -H 'Content-Type: image/png' --data-binary @FILE"
)
BUSY = "try again in a second, or send fewer at once"


@dataclass(frozen=True)
class Posted:
    """A picture as it was sent; ``name`` is what the sender calls it, and is never used as a path."""

    data: bytes
    name: str = "-"


class Gate:
    """Bounds how many requests are held at once, and how many bytes of bodies."""

    def __init__(self) -> None:
        self.requests = 0
        self.size = 0

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Count a request until it is answered, or refuse it."""
        if self.requests >= MAX_REQUESTS:
            raise Refusal(503, f"{MAX_REQUESTS} requests wait already", BUSY)
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    @contextmanager
    def hold(self) -> Iterator["Held"]:
        """Count the bytes that a request adds, until it is answered."""
        held = Held(self)
        try:
            yield held
        finally:
            self.size -= held.size


class Held:
    """The body of one request, as far as it has arrived."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.data = bytearray()

    @property
    def size(self) -> int:
        """Bytes that are counted."""
        return len(self.data)

    def add(self, chunk: bytes) -> None:
        """Keep the next part, or refuse the request."""
        if self.size + len(chunk) > MAX_BYTES:
            raise too_many_bytes()
        if self.gate.size + len(chunk) > MAX_BYTES_AT_ONCE:
            raise Refusal(503, "the pictures that wait already take all the memory that there is for them", BUSY)
        self.data += chunk
        self.gate.size += len(chunk)


def too_many_bytes() -> Refusal:
    """Return the refusal of a large body."""
    return Refusal(413, f"the body is larger than {MAX_BYTES // 2**20} MiB", "make the picture smaller")


async def read_picture(request: Request, held: Held) -> Posted:
    """Read the body of a request, bounded in size and time.

    Raises:
        Refusal: 408, 413, 415, 422 or 503.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_form = kind == "multipart/form-data"
    if not is_form and kind != "application/octet-stream" and not kind.startswith("image/"):
        raise Refusal(415, f"the Content-Type is {kind or 'missing'}, not that of a picture", HOW_TO_SEND)
    # a body that says that it is too large need not be read; one that is larger than it says is cut by the server
    if int(request.headers.get("content-length", 0)) > MAX_BYTES:
        raise too_many_bytes()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                held.add(chunk)
    except TimeoutError as error:
        raise Refusal(408, f"the body did not arrive within {BODY_SECONDS} seconds", HOW_TO_SEND) from error
    body = bytes(held.data)
    posted = await _file_of_form(request, body) if is_form else Posted(body)
    if not posted.data:
        raise Refusal(422, "the picture is empty", HOW_TO_SEND)
    return posted


class _InMemory(MultiPartParser):
    spool_max_size = MAX_BYTES + 1  # larger files would be written to the disk


async def _file_of_form(request: Request, body: bytes) -> Posted:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        form = await _InMemory(request.headers, stream(), max_files=1, max_fields=0).parse()
    except MultiPartException as error:
        raise Refusal(422, f"the form cannot be read: {error.message}", HOW_TO_SEND) from error
    try:
        file = form.get(FIELD)
        if not isinstance(file, UploadFile):
            raise Refusal(422, f"the form has no file {FIELD}", HOW_TO_SEND)
        return Posted(await file.read(), file.filename or "-")
    finally:
        await form.close()
