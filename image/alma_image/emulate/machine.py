"""A running virtual PC: its serial console, its monitor, its end.

`expect` matches over everything that was not yet consumed, however the bytes were cut by reads,
and its error shows all that the machine said.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alma_image.emulate.qemu import Pc, command_line, fresh_variables
from alma_image.release.sandbox import Sandbox
from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _

STARTUP_SECONDS = 60.0
LIMIT_SECONDS = 600.0
POLL_SECONDS = 0.25
ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[()][A-Z0-9]|\x1b[=>78cM]|\r")
UNFINISHED = re.compile(rb"\x1b[^\x1b]{0,16}$")


class NotSaid(AlmaError):
    """The console did not show what was expected; the message holds all that it showed."""


@dataclass
class Machine:
    """A PC that is on. Texts are UTF-8; escape sequences and carriage returns are left out."""

    pc: Pc
    process: subprocess.Popen[bytes]
    serial: socket.socket
    qmp: socket.socket
    raw: bytes = b""
    consumed: int = 0
    _events: bytes = field(default=b"", repr=False)

    @property
    def said(self) -> str:
        """Everything that the console has shown so far."""
        return _plain(self.raw)

    def expect(self, pattern: str, timeout: float = LIMIT_SECONDS) -> re.Match[str]:
        """Wait until the console's new text matches; what is before the match's end is consumed.

        Args:
            pattern: regular expression over lines (`.` does not cross them).
            timeout: seconds; a limit, not a measurement.

        Raises:
            NotSaid: it did not come, or the machine ended.
        """
        expression = re.compile(pattern, re.MULTILINE)
        limit = time.monotonic() + timeout
        while True:
            text = self.said
            match = expression.search(text, self.consumed)
            if match:
                self.consumed = match.end()
                return match
            if time.monotonic() > limit or not self._read_serial():
                raise NotSaid(
                    _("«{pattern}» did not come; the console showed:\n{text}").format(
                        pattern=pattern, text=text
                    )
                )

    def send_line(self, text: str) -> None:
        """Type a line and Enter."""
        self.send(text.encode() + b"\r")

    def send(self, data: bytes) -> None:
        """Type bytes."""
        self.serial.sendall(data)

    def power_button(self) -> None:
        """What a short press of the power button does."""
        self.monitor("system_powerdown")

    def screenshot(self, path: Path) -> None:
        """The screen as a PNG, in the PC's folder."""
        self.monitor("screendump", filename=str(path), format="png")

    def unplug(self, name: str) -> None:
        """Pull `stick` or `disk` out."""
        self.monitor("device_del", id=f"usb-{name}")

    def kill(self) -> None:
        """Cut the power."""
        self.process.kill()
        self.process.wait()
        # QEMU sits in a process namespace of its own: it is gone when its end of the line is.
        while self._read_serial():
            pass

    def wait_off(self, timeout: float = LIMIT_SECONDS) -> None:
        """Wait until the machine has switched itself off; the console is read meanwhile.

        Raises:
            NotSaid: it stays on.
        """
        limit = time.monotonic() + timeout
        while self._read_serial():
            if time.monotonic() > limit:
                raise NotSaid(
                    _("the machine stays on; the console showed:\n{text}").format(text=self.said)
                )
        self.process.wait()

    def monitor(self, command: str, **arguments: Any) -> Any:
        """Run one QMP command and return its answer.

        Raises:
            AlmaError: QEMU refused it.
        """
        request = {"execute": command, "arguments": arguments}
        try:
            self.qmp.sendall(json.dumps(request).encode() + b"\n")
        except OSError as exc:
            raise AlmaError(_("QEMU's monitor is gone")) from exc
        while True:
            answer = self._read_monitor()
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise AlmaError(f"QEMU {command}: {answer['error']['desc']}")

    def _read_monitor(self) -> dict[str, Any]:
        while b"\n" not in self._events:
            try:
                data = self.qmp.recv(65536)
            except OSError:
                data = b""
            if not data:
                raise AlmaError(_("QEMU's monitor is gone"))
            self._events += data
        line, self._events = self._events.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _read_serial(self) -> bool:
        """Take what has come, waiting a moment; False when nothing can come any more."""
        try:
            data = self.serial.recv(65536)
        except TimeoutError:
            return True
        except OSError:
            return False
        self.raw += data
        return bool(data)


@contextlib.contextmanager
def running(sandbox: Sandbox, pc: Pc) -> Iterator[Machine]:
    """Switch a PC on; it is off (by force if need be) when the block is left.

    Raises:
        AlmaError: QEMU does not start; its words are in the message.
    """
    fresh_variables(sandbox, pc)
    for path in (pc.serial_socket, pc.qmp_socket):
        path.unlink(missing_ok=True)
    argv = command_line(pc, serial=f"unix:{pc.serial_socket},server=on,wait=on")
    log = pc.folder / "qemu.log"
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        process = stack.enter_context(
            sandbox.spawn(argv, binds=pc.binds, stdout=output, stderr=output)
        )

        def alive() -> bool:
            return process.poll() is None

        try:
            serial = stack.enter_context(_connect(pc.serial_socket, alive))
            serial.settimeout(POLL_SECONDS)
            qmp = stack.enter_context(_connect(pc.qmp_socket, alive))
            machine = Machine(pc, process, serial, qmp)
            machine._read_monitor()  # its greeting
            machine.monitor("qmp_capabilities")
        except AlmaError as exc:
            words = log.read_text("utf-8", "replace").strip()
            raise AlmaError(_("QEMU did not start: {words}").format(words=words or exc)) from exc
        try:
            yield machine
        finally:
            if process.poll() is None:
                machine.kill()
            # For whoever wants to know afterwards what was on the console.
            (pc.folder / "console.txt").write_text(machine.said, encoding="utf-8")


def _connect(path: Path, alive: Callable[[], bool]) -> socket.socket:
    limit = time.monotonic() + STARTUP_SECONDS
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError) as exc:
            connection.close()
            if not alive() or time.monotonic() > limit:
                raise AlmaError(_("{path} does not answer").format(path=path)) from exc
            time.sleep(POLL_SECONDS / 5)
        else:
            return connection


def _plain(raw: bytes) -> str:
    """Text without escape sequences; what a read cut off in the middle waits for its rest."""
    whole = UNFINISHED.sub(b"", ESCAPES.sub(b"", raw))
    return codecs.utf_8_decode(whole, "replace", False)[0]
