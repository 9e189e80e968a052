"""Runs a program on a terminal of its own: terminal.py STEPS PROGRAM ARGS...

STEPS is JSON: a list of [wait, send]; each waits for a text in the output that came after the last match
and then types. Prints the output, and `code N` as the last line.
"""

import json
import os
import pty
import select
import sys

steps, program = json.loads(sys.argv[1]), sys.argv[2:]
pid, fd = pty.fork()
if pid == 0:
    os.execvp(program[0], program)
seen, out = 0, b""


def more():
    """False at the end of the output."""
    global out
    if not select.select([fd], [], [], 30)[0]:
        sys.exit("nothing came for 30 s after: %r" % out)
    try:
        piece = os.read(fd, 4096)
    except OSError:
        return False
    out += piece
    return bool(piece)


for wait, send in steps:
    while wait.encode() not in out[seen:]:
        if not more():
            sys.exit("%r did not come, only %r" % (wait, out))
    seen = out.index(wait.encode(), seen) + len(wait.encode())
    os.write(fd, send.encode())
while more():
    pass
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
sys.stdout.buffer.write(out.replace(b"\r", b"") + b"\ncode %d\n" % code)
