"""Takes one mail by SMTP. Prints its port, then what it was told, a line each."""

import socket

server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen()
print(server.getsockname()[1], flush=True)
connection, _ = server.accept()
lines = connection.makefile("rb")


def say(text):
    connection.sendall(text.encode() + b"\r\n")


say("220 test ready")
while True:
    line = lines.readline().rstrip(b"\r\n").decode()
    print("C: " + line, flush=True)
    verb = line[:4].upper()
    if verb == "EHLO":
        say("250-test\r\n250 8BITMIME")
    elif verb == "DATA":
        say("354 go on")
        while True:
            line = lines.readline().rstrip(b"\r\n").decode()
            print("D: " + line, flush=True)
            if line == ".":
                break
        say("250 taken")
    elif verb == "QUIT":
        say("221 bye")
        break
    else:
        say("250 ok")
