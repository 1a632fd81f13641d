"""The chat's own commands."""

from __future__ import annotations

import datetime

from alma_runtime.chat.conversation import count
from alma_runtime.chat.orders import Order, plain
from alma_runtime.chat.session import Session
from alma_runtime.daylog import Turn, read_day
from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _

POWEROFF = "poweroff"
DATE_FORMATS = ("%Y-%m-%d", "%d/%m/%Y", "%d-%m-%Y")


def N_(text: str) -> str:
    """Mark a text of a table for translation."""
    return text


def show_help(session: Session, _rest: str) -> None:
    """Every command in a line."""
    width = max(len(_usage(order)) for order in session.orders)
    lines = [f"{_usage(order):<{width}}  {_(order.help)}" for order in session.orders]
    session.screen.say("\n".join(lines))


def leave(session: Session, _rest: str) -> None:
    """End the chat."""
    session.finished = True
    session.screen.say(_("See you."))


def power_off(session: Session, _rest: str) -> None:
    """Ask the machine to power off: a systemd unit waits for the file."""
    requests = session.run_dir / "requests"
    try:
        (requests / POWEROFF).touch()
    except OSError:
        raise AlmaError(_("this machine cannot be powered off from here")) from None
    session.finished = True
    session.screen.say(_("Powering off…"))


def show_day(session: Session, rest: str) -> None:
    """A day's conversation."""
    day = day_of(rest, session.now().date())
    turns = read_day(session.tree.day_log(day))
    if not turns:
        session.screen.say(_("nothing was said on {day}").format(day=day.isoformat()))
        return
    session.screen.say("\n\n".join([day.isoformat(), *map(_told, turns)]))


def day_of(text: str, today: datetime.date) -> datetime.date:
    """The day that a person means.

    Raises:
        AlmaError: it is no day.
    """
    words = plain(text)
    if words in ("", "hoy", "today"):
        return today
    if words in ("ayer", "yesterday"):
        return today - datetime.timedelta(days=1)
    for form in DATE_FORMATS:
        try:
            return datetime.datetime.strptime(words, form).date()
        except ValueError:
            continue
    raise AlmaError(
        _("«{text}» is no day; write hoy, ayer or a date like 2026-11-20").format(text=text[:40])
    )


def show_model(session: Session, _rest: str) -> None:
    """Which model answers, and why this one."""
    health = session.gateway.health()
    model = session.gateway.model()
    text = _("{id} (sha256 {sha256}…), context of {context} tokens")
    line = text.format(id=model.id, sha256=model.sha256[:12] or "?", context=model.context or "?")
    session.screen.say("\n".join(filter(None, [line, health.choice])))


def show_tokens(session: Session, _rest: str) -> None:
    """How full the model's context is."""
    model = session.gateway.model()
    used = count(session.gateway, session.conversation.messages())
    text = _("{used} of {context} tokens are in use")
    session.screen.say(text.format(used=used, context=model.context or "?"))


def reset(session: Session, _rest: str) -> None:
    """Begin anew; the log stays."""
    session.conversation.reset()
    session.screen.say(_("The model has forgotten this conversation; the log keeps it."))


def repeat(session: Session, _rest: str) -> None:
    """Ask the last question again."""
    if not session.last_question:
        raise AlmaError(_("nothing has been asked yet"))
    session.question(session.last_question)


def _usage(order: Order) -> str:
    return f"!{order.names[0]} {order.arguments}".rstrip()


def _told(turn: Turn) -> str:
    mark = " " + _("(interrupted)") if turn.interrupted or turn.torn else ""
    answer = f"alma> {turn.answer}{mark}" if turn.answer else _("(no answer)")
    return f"[{turn.when:%H:%M}] {_('you> ')}{turn.user}\n{answer}"


# fmt: off
ORDERS = (
    Order(("ayuda", "help", "?"), N_("this list"), show_help),
    Order(("memoria", "memory", "day"), N_("what was said on a day"), show_day,
          "[hoy|ayer|2026-11-20]"),
    Order(("modelo", "model"), N_("which model answers, and why"), show_model),
    Order(("tokens",), N_("how full the model's context is"), show_tokens),
    Order(("repetir", "retry", "repeat"), N_("ask the last question again"), repeat),
    Order(("reset", "reiniciar", "olvidar sesión"), N_("begin a new conversation"), reset),
    Order(("salir", "exit", "quit"), N_("leave the chat"), leave),
    Order(("apagar", "poweroff", "shutdown"), N_("power the machine off"), power_off),
)
# fmt: on
