#!/bin/sh
# The systemd units as systemd reads them: no unknown key, nothing that cannot start.
set -eu
cd "$1"
binary=$2

command -v systemd-analyze >/dev/null 2>&1 || {
	echo "skipped: systemd-analyze is not installed"
	exit 77
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for unit in conf/systemd/*.service conf/systemd/*.socket; do
	# The binary is not installed on the machine that checks.
	sed "s|/usr/bin/pipeline-guard|$binary|" "$unit" >"$folder/${unit##*/}"
done
SYSTEMD_UNIT_PATH=$folder: systemd-analyze verify --man=no --recursive-errors=no \
	"$folder"/*.service "$folder"/*.socket >"$folder/says" 2>&1 || bad=yes
if [ -n "${bad:-}" ] || [ -s "$folder/says" ]; then
	cat "$folder/says"
	exit 1
fi
echo "units are fine"
