"""A shell's job control and nothing else: runs one program in the foreground of its terminal.

    python -I tests/pseudo/shell.py CONTROL STDOUT STDERR PROGRAM ARGUMENT...

Descriptor 0 is the terminal; CONTROL a socket: one line of JSON out for each thing that happened
({"started": pid}, {"stopped": modes}, {"ended": status, "modes": modes}), one line in, `fg`.
STDOUT and STDERR are the program's. `modes` is what tcgetattr says, null where the terminal is
gone. A script of its own, because a terminal belongs to a session.
"""

import contextlib
import fcntl
import json
import os
import signal
import sys
import termios

QUIET = (signal.SIGTTOU, signal.SIGHUP, signal.SIGINT, signal.SIGTSTP)


def modes() -> str | None:
    try:
        return repr(termios.tcgetattr(0))
    except termios.error:
        return None


def foreground(group: int) -> None:
    with contextlib.suppress(OSError):  # the terminal is gone
        os.tcsetpgrp(0, group)


def main(control: int, out: int, err: int, command: list[str]) -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for number in QUIET:
        signal.signal(number, signal.SIG_IGN)
    talk = os.fdopen(os.dup(control), "w")
    listen = os.fdopen(control, "r")

    def say(**what: object) -> None:
        talk.write(json.dumps(what) + "\n")
        talk.flush()

    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpid())
        for number in QUIET:
            signal.signal(number, signal.SIG_DFL)
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.closerange(3, 64)
        os.execvp(command[0], command)
    os.closerange(1, 3)
    for descriptor in {out, err} - {0, 1, 2}:
        os.close(descriptor)
    with contextlib.suppress(OSError):
        os.setpgid(child, child)
    say(started=child)
    while True:
        _, status = os.waitpid(child, os.WUNTRACED)
        foreground(os.getpgrp())
        if not os.WIFSTOPPED(status):
            say(ended=os.waitstatus_to_exitcode(status), modes=modes())
            return
        say(stopped=modes())
        listen.readline()
        foreground(child)
        os.killpg(child, signal.SIGCONT)


main(*map(int, sys.argv[1:4]), sys.argv[4:])
