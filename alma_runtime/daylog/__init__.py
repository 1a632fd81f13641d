"""The Markdown log of a day: format (`format.py`) and file (`store.py`)."""

from alma_runtime.daylog.format import Turn as Turn
from alma_runtime.daylog.format import parse as parse
from alma_runtime.daylog.format import render as render
from alma_runtime.daylog.store import append_turn as append_turn
from alma_runtime.daylog.store import new_anchor as new_anchor
from alma_runtime.daylog.store import read_day as read_day
