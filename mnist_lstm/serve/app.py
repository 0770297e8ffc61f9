"""The application: which request is answered by what."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from dataclasses import asdict
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from mnist_lstm.inference.classifier import Classifier
from mnist_lstm.page.build import allowed
from mnist_lstm.serve import schemas
from mnist_lstm.serve.bodies import Gate, read_picture
from mnist_lstm.serve.docs import STYLE, draw_docs
from mnist_lstm.serve.frame import Frame
from mnist_lstm.serve.metrics import CONTENT_TYPE, Metrics
from mnist_lstm.serve.reader import Reader
from mnist_lstm.serve.refusal import Refusal

DESCRIPTION = "Reads handwritten digits in pictures, by an LSTM. Nothing that is sent is kept."
ADVICE = "see /docs"
GONE = 499
"""Status, in the metrics alone, of a request whose client hung up before it was complete; nginx has coined it."""


def make_app(classifier: Classifier, card: dict[str, Any], page: str) -> ASGIApp:
    """Return the application.

    Args:
        classifier: reads the pictures.
        card: of its weights; empty if there is none.
        page: the HTML for ``/``.
    """
    gate, metrics = Gate(), Metrics()
    reader = Reader(classifier, gate, metrics)
    metrics.watch("requests_in_flight", "Requests for pictures that are not answered yet.", lambda: gate.requests)
    metrics.watch("queue", "Pictures in MNIST's form that wait to be read.", reader.waiting)
    metrics.watch("body_bytes", "Bytes of the pictures that are held.", lambda: gate.size)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        app.state.batches = asyncio.create_task(reader.run())
        yield
        app.state.batches.cancel()
        reader.close()

    app = FastAPI(
        title="mnist-lstm",
        version=version("mnist-lstm"),
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    _refuse_in_one_form(app)
    picture: dict[str, Any] = {"openapi_extra": schemas.PICTURE_BODY, "response_model": None}

    @app.post(
        "/v1/classify", responses=schemas.REFUSALS | schemas.answered(schemas.Answer, schemas.ANSWER_EXAMPLE), **picture
    )
    async def classify(
        request: Request, split: Annotated[bool, Query(description="read several digits, line by line")] = False
    ) -> Response:
        """Read the digit in a picture; the answer is that of `mnist-lstm classify --format json`."""
        with gate.admit(), gate.hold() as held:
            posted = await read_picture(request, held)
            return _json(await _unless_gone(request, reader.classify(posted, split)))

    @app.post("/v1/explain", responses=schemas.REFUSALS | schemas.answered(schemas.Explanation), **picture)
    async def explain(
        request: Request, gates: Annotated[bool, Query(description="with the gates of all units, 1 MB")] = True
    ) -> Response:
        """Show what the network does with a digit, row by row; the answer is that of `mnist-lstm explain`."""
        with gate.admit(), gate.hold() as held:
            posted = await read_picture(request, held)
            return _json(await _unless_gone(request, reader.explain(posted, gates)))

    network = classifier.network
    model = schemas.Model(
        version=version("mnist-lstm"),
        options=asdict(network.options),
        parameters=sum(weight.numel() for weight in network.parameters()),
        threshold=classifier.threshold,
        temperature=classifier.temperature,
        card=card,
    )

    @app.get("/v1/model")
    async def describe() -> schemas.Model:
        """Describe the network: its options, and how its weights were trained."""
        return model

    @app.get("/healthz", responses={503: schemas.REFUSALS[503]})
    async def health() -> schemas.Health:
        """Say whether pictures are read."""
        if app.state.batches.done():
            raise Refusal(503, "the thread that reads pictures has ended", "start the server again")
        return schemas.Health(status="ok")

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def show_metrics() -> Response:
        """Show requests, errors, times, batch sizes and the queue, in Prometheus' text form."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    @app.get("/", include_in_schema=False)
    async def show_page() -> HTMLResponse:
        # the page has a policy of its own in its head; both count
        return HTMLResponse(page, headers={"Content-Security-Policy": "frame-ancestors 'none'"})

    @app.get("/docs", include_in_schema=False)
    async def show_docs() -> HTMLResponse:
        policy = f"default-src 'none'; style-src {allowed(STYLE)}; frame-ancestors 'none'"
        return HTMLResponse(draw_docs(app.openapi()), headers={"Content-Security-Policy": policy})

    return Frame(app, metrics)


async def _unless_gone(request: Request, work: Coroutine[Any, Any, bytes]) -> bytes:
    """Return the result of some work for a request that has been read; cancel it when the client hangs up."""
    answer = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(request.receive())  # after the body comes nothing but the end of the connection
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise ClientDisconnect
    finally:
        gone.cancel()
        answer.cancel()


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


def _refuse_in_one_form(app: FastAPI) -> None:
    """Have every refusal say what is wrong, and what to do."""

    @app.exception_handler(Refusal)
    async def refuse(_: Request, refusal: Refusal) -> Response:
        return Response(refusal.body(), refusal.status, refusal.headers(), "application/json")

    @app.exception_handler(ClientDisconnect)
    async def client_is_gone(_: Request, gone: ClientDisconnect) -> Response:
        return Response(status_code=GONE)  # nobody reads it; no failure of the server, whose output would fill with it

    @app.exception_handler(HTTPException)
    async def no_such_path(_: Request, error: HTTPException) -> Response:
        body = {"error": str(error.detail).lower(), "advice": ADVICE}
        return JSONResponse(body, error.status_code, dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def wrong_option(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return JSONResponse({"error": f"{first['loc'][-1]}: {first['msg']}", "advice": ADVICE}, 422)

    @app.exception_handler(Exception)
    async def fail(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": "the server has failed", "advice": "see its output, and report it"}, 500)
