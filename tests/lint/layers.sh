#!/bin/sh
# Includes may only point left: core <- {receiver, healers, ml} <- dispatcher <- cli.
# Usage: layers.sh SOURCE_DIR
cd "$1" || exit 2
status=0

deny() { # deny DIR FORBIDDEN_REGEX
	if grep -nE "^#include \"($2)/" -r --include='*.[ch]' "$1"; then
		echo "^ $1/ must not include these" >&2
		status=1
	fi
}

deny core       'receiver|dispatcher|healers|ml|cli'
deny receiver   'dispatcher|healers|ml|cli'
deny healers    'receiver|dispatcher|ml|cli'
deny ml         'receiver|dispatcher|healers|cli'
deny dispatcher 'receiver|cli'
exit $status
