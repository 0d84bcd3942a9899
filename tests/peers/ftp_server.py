"""A file server for FTP with passive transfers, which keeps its files in memory. Prints its port."""

import socket
import threading

FILES = {"greeting.txt": b"hello by ftp\n", "large.bin": bytes(range(256)) * 4096}


def serve(connection):
    lines, passive = connection.makefile("rb"), None

    def say(text):
        connection.sendall(text.encode() + b"\r\n")

    say("220 test ready")
    for line in lines:
        verb, _, rest = line.decode().strip().partition(" ")
        verb, name = verb.upper(), rest.rsplit("/", 1)[-1]
        if verb == "USER":
            say("331 password")
        elif verb == "PASS":
            say("230 welcome")
        elif verb in ("PASV", "EPSV"):
            passive = socket.socket()
            passive.bind(("127.0.0.1", 0))
            passive.listen()
            port = passive.getsockname()[1]
            if verb == "PASV":
                say("227 Entering (127,0,0,1,%d,%d)" % (port // 256, port % 256))
            else:
                say("229 Entering (|||%d|)" % port)
        elif verb == "RETR" and name in FILES:
            say("150 coming")
            data, _ = passive.accept()
            data.sendall(FILES[name])
            data.close()
            say("226 done")
        elif verb == "STOR":
            say("150 go on")
            data, _ = passive.accept()
            FILES[name] = b"".join(iter(lambda: data.recv(65536), b""))
            say("226 done")
        elif verb in ("TYPE", "CWD", "NOOP"):
            say("200 ok")
        elif verb == "QUIT":
            say("221 bye")
            return
        else:
            say("550 no")


server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen()
print(server.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
