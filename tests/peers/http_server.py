"""A small HTTP/1.1 server, proxy included, for tests. Prints its port, then a line for each request."""

import http.server


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while True:
            size = int(self.rfile.readline().split(b";")[0], 16)
            parts.append(self.rfile.read(size))
            self.rfile.readline()
            if size == 0:
                return b"".join(parts)

    def answer(self, code, body=b"", **headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def respond(self):
        body = self.body()
        print(self.command, self.path, flush=True)
        if self.path.startswith("http://"):  # we are the proxy
            self.answer(200, ("proxied " + self.path).encode())
        elif self.path == "/moved":
            self.answer(302, b"moved", Location="/found")
        elif self.path == "/around":
            self.answer(302, b"around", Location="/around")
        elif self.path == "/found":
            self.answer(200, b"found it", **{"X-Found": "yes"})
        elif self.path == "/secret":
            known = self.headers.get("Authorization") == "Basic dXNlcjpwYXNz"
            self.answer(200 if known else 401, b"secret" if known else b"who are you")
        elif self.path == "/echo":
            self.answer(200, body)
        elif self.path == "/chunks":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in (b"one ", b"two ", b"three"):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\nX-Trailer: end\r\n\r\n")
        else:
            self.answer(404, b"not here")

    do_GET = do_HEAD = do_POST = do_PUT = respond


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
