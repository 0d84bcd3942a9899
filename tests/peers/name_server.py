"""A name server on 127.0.0.1:53 that knows a few names by heart, for tests in a namespace of their own."""

import socket
import struct

# First label of a name, to the response code and the records of each type.
A, CNAME, PTR, AAAA = 1, 5, 12, 28
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
FAILING = {"servfail": SERVFAIL, "refused": REFUSED}
ADDRESSES = {
    "one": {A: ["127.0.0.1"]},
    "many": {A: ["127.0.0.%d" % i for i in range(1, 9)]},
    "six": {AAAA: ["::1"]},
    "mixed": {A: ["127.0.0.1"], AAAA: ["::1"]},
    "nodata": {},
}


def name_at(query, at):
    labels = []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1").lower())
        at += 1 + query[at]
    return labels, at + 1


def encoded(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def record(owner, kind, data):
    return owner + struct.pack(">HHIH", kind, 1, 60, len(data)) + data


def packed(kind, text):
    return socket.inet_pton(socket.AF_INET if kind == A else socket.AF_INET6, text)


def answer(query):
    labels, end = name_at(query, 12)
    kind = struct.unpack(">H", query[end:end + 2])[0]
    question, code, records = query[12:end + 4], NOERROR, []
    first = labels[0] if labels else ""
    if first in FAILING:
        code = FAILING[first]
    elif first == "alias":  # another name for one.example
        target = encoded("one.example")
        records.append(record(b"\xc0\x0c", CNAME, target))
        if kind == A:
            records.append(record(target, A, packed(A, "127.0.0.1")))
    elif first in ADDRESSES:
        records = [record(b"\xc0\x0c", kind, packed(kind, text)) for text in ADDRESSES[first].get(kind, [])]
    elif kind == PTR and labels[:4] == ["9", "0", "0", "127"]:
        records = [record(b"\xc0\x0c", PTR, encoded("nine.example"))]
    else:
        code = NXDOMAIN
    header = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(records), 0, 0)
    return header + question + b"".join(records)


server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
while True:
    query, peer = server.recvfrom(4096)
    server.sendto(answer(query), peer)
