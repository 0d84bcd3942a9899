"""Runs a command on a terminal of 80 columns and 24 lines: `screen.py ACT COMMAND...`.

When it has drawn its last line, does what ACT says: types a key, or sends a signal. Prints how it ended, whether the
terminal is as it was before, and everything that it wrote.
"""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time

LIMIT = 30
act, command = sys.argv[1], sys.argv[2:]
KEYS = {"q": b"q", "interrupt": b"\x03", "escape": b"\x1b", "sort": b"njkrq"}

master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
before = termios.tcgetattr(slave)


def lead():
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


child = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, preexec_fn=lead)
text, acted, deadline = b"", False, time.monotonic() + LIMIT
while time.monotonic() < deadline:
    if select.select([master], [], [], 0.05)[0]:
        text += os.read(master, 65536)
    elif child.poll() is not None:
        break
    if not acted and b"quit" in text and b"c0.1" in text:
        acted = True
        print("raw" if not termios.tcgetattr(slave)[3] & termios.ICANON else "not raw")
        if act in KEYS:
            os.write(master, KEYS[act])
        elif act == "terminate":
            child.send_signal(signal.SIGTERM)
        elif act == "hangup":
            os.close(slave)
            os.close(master)
            print("code", child.wait(timeout=LIMIT))
            sys.exit()
        else:
            os.kill(int(act), signal.SIGKILL)
else:
    child.kill()
    text += b"\nno end in time"
print("code", child.wait())
print("as before" if termios.tcgetattr(slave) == before else "not as before")
sys.stdout.flush()
sys.stdout.buffer.write(text)
