"""A web server on this machine that serves files, and may misbehave."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Web:
    """What a server does.

    Attributes:
        files: Content by name.
        breaks: Bytes of a body after which each of the next connections breaks; then none does.
        ranges: Whether it gives parts of files.
        asked: (name, range asked for) of each request.
    """

    def __init__(self, address):
        self.address = address
        self.files, self.breaks, self.asked = {}, [], []
        self.ranges = True

    def url(self, name):
        """The address of a file."""
        return f"http://{self.address[0]}:{self.address[1]}/{name}"


def _handler(web):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def log_message(self, *_):
            pass

        def do_GET(self):
            name, wanted = self.path[1:], self.headers.get("Range")
            web.asked.append((name, wanted))
            content = web.files.get(name)
            if content is None:
                self.send_error(404)
                return
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and web.ranges else 0
            if wanted and web.ranges and start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if wanted and web.ranges else 200)
            if wanted and web.ranges:
                ends = f"bytes {start}-{len(content) - 1}/{len(content)}"
                self.send_header("Content-Range", ends)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            most = web.breaks.pop(0) if web.breaks else len(content)
            self.wfile.write(content[start : start + most])

    return Handler


@contextmanager
def web_server():
    """A running server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    web = Web(server.server_address)
    server.RequestHandlerClass = _handler(web)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
