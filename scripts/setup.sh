#!/usr/bin/env bash
# Install what is missing on a Debian 12/13 or Ubuntu 24.04 machine, and the Python environment.
# Cheap when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:-.venv}

missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need mmdebstrap mmdebstrap
need bwrap bubblewrap
need dpkg-deb dpkg
need unshare util-linux
need cryptsetup cryptsetup-bin # alma disk open
[ "$(id -u)" = 0 ] || need newuidmap uidmap
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring)

python=python3
usable='import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'
if ! "$python" -c "$usable" 2>/dev/null; then
    python=/usr/bin/python3
    "$python" -c "$usable" 2>/dev/null || missing+=(python3 python3-venv)
fi

if [ ${#missing[@]} -gt 0 ]; then
    echo "Instalando / installing: ${missing[*]}" >&2
    as_root=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || {
            echo "Hace falta root / root is needed: apt-get install ${missing[*]}" >&2
            exit 1
        }
        as_root=(sudo)
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive sh -c \
        'apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" >/dev/null' sh "${missing[@]}"
fi

if [ "$(id -u)" != 0 ]; then
    unshare --user --map-root-user --map-auto true 2>/dev/null || {
        cat >&2 <<'TEXT'
Este sistema no deja crear espacios de nombres de usuario. / This system forbids user namespaces.
  Ubuntu 24.04:  sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0
  sin subuid / without subuid:  sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "$USER"
TEXT
        exit 1
    }
fi

lock=requirements/dev.txt
stamp=$venv/.installed
wanted=$(cat "$lock" pyproject.toml image/pyproject.toml | sha256sum | cut -d' ' -f1)
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted $PWD" ]; then
    echo "Preparando el entorno de Python / preparing the Python environment" >&2
    "$python" -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --require-hashes --requirement "$lock"
    "$venv/bin/pip" install --quiet --no-build-isolation --no-deps --editable . --editable image
    echo "$wanted $PWD" >"$stamp"
fi
