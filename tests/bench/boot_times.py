"""Seconds from power-on to the kernel, the passphrase prompt and the chat prompt, in QEMU."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from alma_image.emulate.machine import running
from alma_image.emulate.qemu import Firmware, Pc, kvm_works
from alma_image.media.disk import create_disk
from alma_image.profile import read_profile
from alma_image.release.build import build_release, tools_sandbox
from alma_image.source import BUILD
from alma_runtime.config import settings
