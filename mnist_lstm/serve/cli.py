"""``mnist-lstm serve``: start the server."""

import argparse
import contextlib
import gc
import ipaddress
import signal
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path

from mnist_lstm.console import printable
from mnist_lstm.errors import InputError
from mnist_lstm.files import find_checkpoint

DESCRIPTION = """\
Serve the page, in which digits are drawn and photographs are read, and an API for programs.

POST a picture to /v1/classify or /v1/explain; /docs has the rest. Ctrl-C or SIGTERM ends the server: requests that it
has taken are still answered. Nothing that is sent is kept.
"""

EPILOG = """\
examples:
  mnist-lstm serve
  mnist-lstm serve --port 8080 --ckpt_path best
  curl -F picture=@four.png http://127.0.0.1:8000/v1/classify
"""

ENDING_SECONDS = 30  # in which accepted requests are answered


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    layout = argparse.RawDescriptionHelpFormatter
    result = argparse.ArgumentParser(
        "mnist-lstm serve", description=DESCRIPTION, epilog=EPILOG, formatter_class=layout, allow_abbrev=False
    )
    add = result.add_argument
    host = "address to listen at; default: %(default)s, which only this machine reaches; 0.0.0.0: any that it has"
    add("--host", default="127.0.0.1", help=host)
    add("--port", type=_port, default=8000, help="default: %(default)s; 0: one that is free")
    weights = "checkpoint of mnist-lstm fit, or last or best of the newest run; default: the weights of this package"
    add("--ckpt_path", metavar="FILE", help=weights)
    return result


def run(args: list[str]) -> int:
    """Serve with the arguments after ``serve`` until SIGTERM or Ctrl-C; return 0."""
    options = parser().parse_args(args)
    checkpoint = None if options.ckpt_path is None else find_checkpoint(options.ckpt_path, Path("runs"))
    try:
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn

        from mnist_lstm.serve.app import make_app
    except ModuleNotFoundError as error:
        raise InputError(
            f"serve needs {error.name}, which is not installed: pip install 'mnist-lstm[serve]'"
        ) from error

    import torch

    from mnist_lstm.inference.classifier import load_classifier
    from mnist_lstm.page.build import build_page, load_card, one_of_each

    with _listen(options.host, options.port) as listening:
        torch.set_num_threads(1)  # of each thread that reads; the others serve
        warnings.filterwarnings("ignore", module=r"PIL\.")  # of defects that it repairs
        classifier = load_classifier(checkpoint)
        card = load_card(checkpoint)
        page = build_page(classifier.network, card, one_of_each(), classifier.temperature, takes_photographs=True)
        app = make_app(classifier, card, page)
        # warnings are of what strangers send
        config = uvicorn.Config(
            app, log_level="error", access_log=False, server_header=False, timeout_graceful_shutdown=ENDING_SECONDS
        )
        host, port = listening.getsockname()[:2]
        if not ipaddress.ip_address(host).is_loopback:
            print("anyone who reaches this machine can use the server: it asks for no password", flush=True)
        shown = f"[{host}]" if ":" in host else host
        print(f"serving  http://{printable(shown)}:{port}/  (Ctrl-C ends it)", flush=True)
        gc.collect()
        gc.freeze()  # or a search for garbage among all of PyTorch holds up every request for 0.2 s and more
        with _ends_in_order():
            uvicorn.Server(config).run(sockets=[listening])
    return 0


def _listen(host: str, port: int) -> socket.socket:
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        # inherited by connections: asyncio does not set it for a socket made like this, and head and body of an answer
        # are sent one by one, so each answer would wait 40 ms for the client to confirm its head
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        raise InputError(f"--host {host} --port {port}: cannot listen there ({error.strerror or error})") from error


@contextlib.contextmanager
def _ends_in_order() -> Iterator[None]:
    """Ignore the signals that uvicorn raises again after it has ended by them, in order."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number from 0 to 65535")
    return int(text)
