"""An OpenAI-compatible server on the loopback that does what a script says."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any


class Exchange:
    """What a script gets: the request, and ways to reply."""

    def __init__(
        self, handler: http.server.BaseHTTPRequestHandler, body: dict[str, Any]
    ):
        self._handler = handler
        self.body = body
        self.prompt = body["messages"][-1]["content"]
        self.authorization = handler.headers.get("Authorization")

    def status(self, code: int, text: str = "{}", **headers: str) -> None:
        """Any status, body and headers."""
        raw = text.encode()
        self._handler.send_response(code)
        self._handler.send_header("Content-Length", str(len(raw)))
        for name, value in headers.items():
            self._handler.send_header(name.replace("_", "-"), value)
        self._handler.end_headers()
        self._handler.wfile.write(raw)

    def answer(self, content: str | None, **choice: Any) -> None:
        """A good reply of 7 prompt and 3 answer tokens."""
        message = {"role": "assistant", "content": content}
        message |= choice.pop("message", {})
        self.status(
            200,
            json.dumps(
                {
                    "choices": [{"index": 0, "message": message, **choice}],
                    "usage": {"prompt_tokens": 7, "completion_tokens": 3},
                }
            ),
        )

    def drip(self, seconds: float) -> None:
        """A reply that comes byte by byte."""
        self._handler.send_response(200)
        self._handler.send_header("Content-Length", "500")
        self._handler.end_headers()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._handler.wfile.write(b" ")
            time.sleep(0.02)
        self._handler.close_connection = True

    def half(self) -> None:
        """A reply that ends before its length."""
        self._handler.send_response(200)
        self._handler.send_header("Content-Length", "500")
        self._handler.end_headers()
        self._handler.wfile.write(b'{"choices": [{"mess')
        self._handler.close_connection = True


class ScriptedServer:
    """Counts what it is asked."""

    def __init__(self, script: Callable[[Exchange], None]):
        self.script = script
        self.prompts: list[str] = []
        self.keys: list[str | None] = []
        self.models_status = 200
        self.url = ""

    def __enter__(self) -> ScriptedServer:
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.keys.append(self.headers.get("Authorization"))
                self.send_response(server.models_status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                exchange = Exchange(self, json.loads(raw))
                server.keys.append(exchange.authorization)
                server.prompts.append(exchange.prompt)
                # Clients may leave in the middle of a reply.
                with contextlib.suppress(ConnectionError):
                    server.script(exchange)

            def log_message(self, *args: object) -> None:
                del args

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: object) -> None:
                del args

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def closed_port() -> Iterator[str]:
    """An address at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{free.getsockname()[1]}/v1"
