#!/usr/bin/env bash
# The release, then a stick and a disk that know each other, for one passphrase.
set -euo pipefail
alma=$1 profile=$2

"$alma" build --profile "$profile"
"$alma" disk create build/disk.img --profile "$profile" --replace
"$alma" stick create build/stick.img --profile "$profile" --disk-key-from build/disk.img --replace

cat <<'TEXT'

Listo / Done: build/stick.img  build/disk.img

1. Pruébalo aquí / try it here:       .venv/bin/alma boot
2. Grábalo / flash it:                sudo .venv/bin/alma stick create /dev/sdX
                                      sudo .venv/bin/alma disk create /dev/sdY
3. Lee la guía / read the guide:      docs/guia.md · docs/guide.md
TEXT
