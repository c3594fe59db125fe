"""A program on a terminal of its own, as a user has it."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import textwrap
import time


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, program: str, *arguments: object) -> None:
        self._master, slave = pty.openpty()
        # a shell's background job ignores SIGINT, and so would all that it starts
        heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        command = [sys.executable, "-c", heard + textwrap.dedent(program), *map(str, arguments)]
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        self._seen = ""

    def wait_for(self, pattern: str) -> str:
        """Read until the pattern appears; return what came before its end."""
        found = self._look_for(pattern, 120)
        if found is None:
            self.process.kill()
            raise AssertionError(self._seen)
        return found

    def interrupt_until(self, pattern: str) -> None:
        """Press Ctrl-C until the pattern appears: one that falls between prompt and reading is lost to Python's input()."""
        for _ in range(20):
            self.process.send_signal(signal.SIGINT)
            if self._look_for(pattern, 15) is not None:  # two that a busy machine hears at once end the program
                return
        self.process.kill()
        raise AssertionError(self._seen)

    def _look_for(self, pattern: str, seconds: float) -> str | None:
        deadline = time.monotonic() + seconds
        while not (match := re.search(pattern, self._seen)):
            if time.monotonic() > deadline:
                return None
            if select.select([self._master], [], [], 0.2)[0]:
                self._seen += os.read(self._master, 4096).decode("utf-8", "replace")
        found, self._seen = self._seen[: match.end()], self._seen[match.end() :]
        return found

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def close(self) -> int:
        code = self.process.wait(timeout=60)
        os.close(self._master)
        return code
