"""Runs a command as a shell's job on a terminal of its own: `terminal.py SCENE COMMAND...`.

Types what the scene says when the command prints `up`, and prints what a shell would see of its job.
"""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

LIMIT = 30
scene, command = sys.argv[1], sys.argv[2:]


def shell():
    """The session's leader: one job in the foreground, taken back when it stops, continued once."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    job = os.fork()
    if job == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpgrp())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        os.execvp(command[0], command)
    while True:
        _, status = os.waitpid(job, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            print("job stopped", flush=True)
            os.tcsetpgrp(0, os.getpgrp())
            time.sleep(0.2)
            os.tcsetpgrp(0, job)
            os.killpg(job, signal.SIGCONT)
            continue
        os.tcsetpgrp(0, os.getpgrp())
        how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"code {os.WEXITSTATUS(status)}"
        print("job ended by", how, flush=True)
        os._exit(0)


pid, master = pty.fork()
if pid == 0:
    shell()

text, acted, deadline = b"", False, time.monotonic() + LIMIT
while time.monotonic() < deadline:
    if not select.select([master], [], [], 0.1)[0]:
        continue
    try:
        piece = os.read(master, 4096)
    except OSError:
        break
    if not piece:
        break
    text += piece
    if b"up" in text and not acted:
        acted = True
        if scene == "resize":
            fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
        else:
            os.write(master, {"interrupt": b"\x03", "stop": b"\x1a", "quit": b"\x1c", "line": b"typed\n", "none": b""}[scene])
else:
    text += b"\nno end in time"
os.kill(pid, signal.SIGKILL) if b"job ended" not in text else None
sys.stdout.write(text.decode(errors="replace").replace("\r\n", "\n"))
