"""A conversation: question, answer, log, again. Nothing that was typed is ever lost.

A question whose answer failed or was stopped is logged with what came, marked interrupted; a
turn that the log could not take (the disk was pulled out) is kept and tried again with the next.
"""

from __future__ import annotations

import datetime
import secrets
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from alma_runtime.chat.conversation import Conversation, Prompt
from alma_runtime.chat.gateway import (
    FAILED,
    READY,
    Ended,
    Gateway,
    GatewayGone,
    GatewayRefused,
    Health,
    Model,
)
from alma_runtime.chat.orders import Order, Unknown, find, is_order
from alma_runtime.chat.screen import Screen
from alma_runtime.daylog import Turn, append_turn, new_anchor
from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _
from alma_runtime.tree import Tree

POLL_SECONDS = 0.5
PATIENCE_SECONDS = 90.0
"""How long a server that does not answer at all may still be starting."""

Clock = Callable[[], datetime.datetime]


def local_now() -> datetime.datetime:
    """This machine's time, with its offset, to the second: what the log keeps."""
    return datetime.datetime.now().astimezone().replace(microsecond=0)


class Session:
    """One person in front of one screen."""

    def __init__(
        self,
        gateway: Gateway,
        screen: Screen,
        tree: Tree,
        run_dir: Path,
        conversation: Conversation,
        orders: Iterable[Order],
        now: Clock = local_now,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.gateway = gateway
        self.screen = screen
        self.tree = tree
        self.run_dir = run_dir
        self.conversation = conversation
        self.orders = tuple(orders)
        self.now = now
        self.finished = False
        self.last_question = ""
        self.model: Model | None = None
        self._patience = patience_seconds
        self._id = secrets.token_hex(4)
        self._unwritten: list[Turn] = []

    def run(self) -> None:
        """Talk until the person leaves."""
        stopped = False
        while not self.finished:
            try:
                line = self.screen.ask()
            except EOFError:
                self.screen.say("")
                return
            except KeyboardInterrupt:
                if stopped:
                    return
                stopped = True
                self.screen.say(_("(Ctrl-C again or !salir to leave)"))
                continue
            stopped = False
            try:
                self.handle(line)
            except KeyboardInterrupt:
                self.screen.say("")
            except AlmaError as error:
                self.screen.error(str(error))

    def handle(self, line: str) -> None:
        """One line: a command, a question, or nothing."""
        if not line.strip():
            return
        if not is_order(line):
            self.question(line)
            return
        found = find(self.orders, line)
        if isinstance(found, Unknown):
            sentence = _("«{line}» is no command; all of them: !ayuda")
            if found.closest:
                sentence = _("«{line}» is no command; did you mean «!{closest}»?")
            self.screen.say(sentence.format(line=line.strip()[:60], closest=found.closest))
            return
        order, rest = found
        order.run(self, rest)

    def wait_until_ready(self) -> bool:
        """Wait while the model loads; says once why, and which model it became. False: it will not.

        Ctrl-C ends the waiting.
        """
        told = ""
        start = time.monotonic()
        while True:
            try:
                health = self.gateway.health()
            except GatewayGone as gone:
                if time.monotonic() - start >= self._patience:
                    return self._no_model(str(gone))
                health = Health("", _("waiting for the model's server…"))
            if health.status == READY:
                return self._greet(health)
            if health.status == FAILED:
                return self._no_model(
                    _("the model cannot be used: {reason}").format(reason=health.reason)
                )
            line = health.reason or _("the model is being loaded…")
            if line != told:
                self.screen.say(line)
                told = line
            time.sleep(POLL_SECONDS)

    def _no_model(self, sentence: str) -> bool:
        self.screen.error(sentence)
        if self.last_question:
            self.screen.say(_("What you wrote is not lost; ask it again with !repetir"))
        return False

    def question(self, text: str) -> bool:
        """Ask the model, show what comes, log it whatever happens. True: the answer is whole.

        Raises:
            AlmaError: no answer, or not all of it; what came is logged.
        """
        self.last_question = text
        began = self.now()
        started = time.monotonic()
        pieces: list[str] = []
        ended: Ended | None = None
        try:
            if not self.wait_until_ready() or self.model is None:
                return False
            prompt = self.conversation.prompt(self.gateway, self.model, text)
            if prompt.left_out:
                self._tell_left_out(prompt.left_out)
            ended = self._answer(prompt, pieces)
        except KeyboardInterrupt:
            self.screen.say(_("(interrupted)"))
        finally:
            answer = "".join(pieces)
            if answer:
                self.conversation.add(text, answer)
            self._log(self._turn(began, text, answer, time.monotonic() - started, ended))
        if ended is not None and ended.reason == "length":
            sentence = _("(the model's room is full: the answer ends here; !reset makes room)")
            self.screen.say(sentence)
        return ended is not None

    def _turn(
        self,
        began: datetime.datetime,
        question: str,
        answer: str,
        seconds: float,
        ended: Ended | None,
    ) -> Turn:
        return Turn(
            when=began,
            anchor=new_anchor(began),
            user=question,
            answer=answer,
            model=self.model.id if self.model else "",
            sha256=self.model.sha256 if self.model else "",
            prompt_tokens=ended.prompt_tokens if ended else None,
            answer_tokens=ended.answer_tokens if ended else None,
            seconds=seconds,
            session=self._id,
            interrupted=ended is None,
        )

    def _answer(self, prompt: Prompt, pieces: list[str]) -> Ended:
        stream = self.gateway.stream(prompt.messages, prompt.max_tokens)
        try:
            with self.screen.answering() as show:
                for piece in stream:
                    if isinstance(piece, Ended):
                        return piece
                    pieces.append(piece)
                    show(piece)
        finally:
            stream.close()
        raise GatewayGone(_("the answer broke off: the connection to the model was lost"))

    def _greet(self, health: Health) -> bool:
        """The model that answers from now on; its line is shown when it is another than before."""
        try:
            model = self.gateway.model()
        except GatewayRefused:
            return False
        if self.model is None or model.id != self.model.id:
            self.screen.say(health.choice or _("model: {id}").format(id=model.id))
        self.model = model
        return True

    def _tell_left_out(self, number: int) -> None:
        self.screen.say(
            _("(the oldest part no longer fits and is not sent: {number} turns)").format(
                number=number
            )
        )

    def _log(self, turn: Turn) -> None:
        """Write what is not written yet, oldest first."""
        self._unwritten.append(turn)
        try:
            while self._unwritten:
                first = self._unwritten[0]
                append_turn(self.tree.day_log(first.when.date()), first, you=_("You"))
                del self._unwritten[0]
        except AlmaError as error:
            self.screen.error(str(error))
            self.screen.say(_("(it is kept and written as soon as that is possible)"))
