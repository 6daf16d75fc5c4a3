#!/bin/sh
# Includes only point left: core <- web <- {receiver, healers, ml} <- dispatcher <- cli.
# version.h is generated, and anybody's.
# Receiver and dispatcher meet in the stream, never in a header; tests are included by nobody.
# Usage: layers.sh SOURCE_DIR
cd "$1" || exit 2
status=0

allow() { # allow DIR REGEX_OF_THE_DIRS_IT_MAY_INCLUDE
	[ -d "$1" ] || return 0
	if grep -rnE --include='*.[ch]' --include='*.cpp' '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "$1" |
		grep -vE ":[[:space:]]*#[[:space:]]*include[[:space:]]*\"(($2)/|version\.h\")"; then
		echo "^ $1/ may include only $2, each from the root of the project" >&2
		status=1
	fi
}

allow core       'core'
allow web        'core|web'
allow receiver   'core|web|receiver'
allow healers    'core|healers'
allow ml         'core|ml'
allow dispatcher 'core|web|healers|ml|dispatcher'
allow cli        'core|web|healers|ml|dispatcher|receiver|cli'
exit $status
