"""Tries to break out of the jail as a Python program would, one way for each name: `--list` prints the names.

Exit code 0 when the attempt was stopped, 1 with a line that begins with ESCAPED when it was not.
"""

import asyncio
import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys

PIPE = int(os.environ.get("LUASOCKETD_FD", "-1"))
escaped = []


def out(what):
    escaped.append(what)
    print("ESCAPED:", what)


def refused(what, call, *expected):
    """Calls, and wants an OSError with one of these numbers (any, if none is given)."""
    try:
        out(f"{what} gave {call()!r}")
    except OSError as error:
        if expected and error.errno not in expected:
            out(f"{what}: {error}")


def sockets():
    for family in range(0, 64):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
            refused(f"socket {family}", lambda: socket.socket(family, kind), errno.EAFNOSUPPORT)
    refused("create_connection", lambda: socket.create_connection(("127.0.0.1", 80), 1), errno.EAFNOSUPPORT)
    refused("fromfd", lambda: socket.fromfd(PIPE, socket.AF_INET, socket.SOCK_STREAM).connect(("127.0.0.1", 80)), errno.EACCES)


def pairs():
    refused("a datagram pair", lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM), errno.EAFNOSUPPORT)
    here, there = socket.socketpair()
    socket.send_fds(here, [b"x"], [0, 1, PIPE])
    _, descriptors, _, _ = socket.recv_fds(there, 1, 8)
    for number in descriptors:  # what came through a pair is no more than what went in
        path = os.environ["JAIL_PATH"]
        refused("connect", lambda: socket.socket(fileno=os.dup(number)).connect(path), errno.EACCES, errno.ENOTSOCK)


def event_loop():
    async def connect():
        await asyncio.open_connection("127.0.0.1", 80)

    refused("asyncio", lambda: asyncio.run(connect()))


def process():
    daemon = os.getppid()
    refused("kill", lambda: os.kill(daemon, signal.SIGKILL), errno.EPERM)
    refused("killpg", lambda: os.killpg(os.getpgid(int(os.environ["JAIL_PID"])), signal.SIGKILL), errno.EPERM)
    refused("memory", lambda: open(f"/proc/{daemon}/mem", "r+b"), errno.EACCES, errno.EPERM)
    for number in range(20):
        refused("a descriptor", lambda: os.readlink(f"/proc/{daemon}/fd/{number}"))
    refused("environment", lambda: open(f"/proc/{daemon}/environ").read(), errno.EACCES, errno.EPERM)
    refused("pidfd", lambda: signal.pidfd_send_signal(os.pidfd_open(daemon), signal.SIGKILL), errno.EPERM)
    refused("priority", lambda: os.setpriority(os.PRIO_PROCESS, daemon, 19), errno.EPERM)


def by_ctypes():
    libc = ctypes.CDLL(None, use_errno=True)

    def call(*arguments):
        if libc.syscall(*arguments) < 0:
            raise OSError(ctypes.get_errno(), "syscall")

    refused("io_uring_setup", lambda: call(425, 8, ctypes.create_string_buffer(256)), errno.EPERM)
    refused("pidfd_getfd", lambda: call(438, os.pidfd_open(os.getppid()), 0, 0), errno.EPERM)
    refused("a new call", lambda: call(500), errno.ENOSYS)


def child():
    """What a child starts is in the jail too, also with an environment of its own and after setsid."""
    program = "import socket; socket.socket()"
    done = subprocess.run([sys.executable, "-c", program], env={}, start_new_session=True, stderr=subprocess.PIPE)
    if b"Address family not supported" not in done.stderr:
        out(f"a child: {done}")


ATTEMPTS = {
    "python-sockets": sockets,
    "python-pairs": pairs,
    "python-event-loop": event_loop,
    "python-process": process,
    "python-ctypes": by_ctypes,
    "python-child": child,
}

if sys.argv[1] == "--list":
    print("\n".join(ATTEMPTS))
else:
    ATTEMPTS[sys.argv[1]]()
    print("stopped" if not escaped else "")
    sys.exit(bool(escaped))
