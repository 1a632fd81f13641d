#!/usr/bin/env bash
# The release, then a disk and a stick that know each other, for one passphrase.
# A disk that is there already is kept: conversations may be on it.
set -euo pipefail
alma=$1 profile=$2
release=build/release/$("$alma" --version | sed 's/.* //')-$profile

"$alma" build --profile "$profile"

if [ -e build/disk.img ] && [ build/stick.img -nt "$release/manifest.json" ]; then
    echo "build/stick.img, build/disk.img: ya estaban hechos / are made already"
else
    if [ -n "${ALMA_PASSPHRASE_FILE:-}" ]; then
        secret=$(cat -- "$ALMA_PASSPHRASE_FILE")
    else
        read -rsp "Frase de paso (no se ve) / passphrase (not shown): " secret && echo
        read -rsp "Otra vez / once more: " again && echo
        [ "$secret" = "$again" ] || { echo "No son iguales / they differ" >&2; exit 1; }
    fi
    # printf is the shell's own: the passphrase is in no argument list and in no file.
    with_secret() { ALMA_PASSPHRASE_FILE=<(printf '%s' "$secret") "$alma" "$@"; }
    [ -e build/disk.img ] || with_secret disk create build/disk.img --profile "$profile"
    with_secret stick create build/stick.img --release "$release" \
        --disk-key-from build/disk.img --replace
fi

cat <<'TEXT'

Listo / Done: build/stick.img  build/disk.img

1. Pruébalo aquí / try it here:       .venv/bin/alma boot        (PROFILE=portable: alma boot --graphic)
2. Grábalo / flash it:                sudo .venv/bin/alma disk create /dev/sdY
                                      sudo .venv/bin/alma stick create /dev/sdX --disk-key-from /dev/sdY
3. Lee la guía / read the guide:      docs/guia.md · docs/guide.md
TEXT
