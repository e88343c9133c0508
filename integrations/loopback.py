"""The library behind an OpenAI-shaped address on the loopback: for tools, where `unsee serve` and its engine are not.

python -m integrations.loopback world:llava --eraser r-0001 --port 8001

One request at a time, greedy whatever temperature is asked for, and no key: for tests on one machine and nothing else.
"""

import argparse
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from unsee.cli.options import erasers_of
from unsee.data.messages import openai_turns
from unsee.data.records import reject
from unsee.data.sample import Sample
from unsee.errors import UnseeError
from unsee.evals.answerers import Answerer, How, Local
from unsee.models.load import load


class Server(ThreadingHTTPServer):
    """One answerer behind an address."""

    def __init__(self, answerer: Answerer, model: str = "erased", port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.answerer, self.model, self.lock = answerer, model, threading.Lock()

    @property
    def url(self) -> str:
        """Base address."""
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    """`/v1/models` and `/v1/chat/completions`."""

    server: Any

    def do_GET(self) -> None:
        """What is served."""
        self._send(200, {"object": "list", "data": [{"id": self.server.model, "object": "model"}]})

    def do_POST(self) -> None:
        """One answer; what the library refuses is told as 400."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        most = body.get("max_tokens") or body.get("max_completion_tokens") or 24
        try:
            turns = openai_turns(
                body.get("messages"), [], lambda url, at: reject(at, "url", url, "a data URL"), "request"
            )
            with self.server.lock:
                (said,) = self.server.answerer.answers([Sample.of_turns(turns)], How(min(int(most), 64)))
        except UnseeError as error:
            self._send(400, {"error": {"message": str(error), "type": "invalid_request_error"}})
            return
        said = _stopped(said, body.get("stop") or [])
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
        usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        reply = {"id": "1", "object": "chat.completion", "created": int(time.time()), "model": self.server.model}
        self._send(200, {**reply, "choices": [choice], "usage": usage})

    def _send(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: what is asked is about erased people."""


def _stopped(said: str, stop: str | list[str]) -> str:
    """The answer up to the first stop string, as servers cut it."""
    for one in [stop] if isinstance(stop, str) else stop:
        said = said.partition(one)[0]
    return said


def main() -> None:
    """Serve until interrupted."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("model")
    options.add_argument("--eraser", type=Path, action="append", default=[])
    options.add_argument("--name", default="erased", help="what clients call it")
    options.add_argument("--port", type=int, default=8001)
    given = options.parse_args()
    loaded = load(given.model)
    with Server(Local(loaded, erasers_of(given.eraser, loaded)), given.name, given.port) as server:
        print(f"{server.url} answers as {given.name}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
