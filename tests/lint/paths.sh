#!/bin/sh
# Nothing in the project depends on one machine, fetches from a host by name, or is left
# unfinished; no test waits by sleeping. Recorded data is not ours to judge.
# Usage: paths.sh SOURCE_DIR
cd "$1" || exit 2
status=0

deny() { # deny WHY REGEX FILES_REGEX [BUT_NOT_FILES_REGEX]
	if list | grep -E "$3" | grep -vE "${4:-^$}" | tr '\n' '\0' | xargs -0r grep -nIE -e "$2" --; then
		echo "^ $1" >&2
		status=1
	fi
}

list() {
	find . \( -name build -o -name .git -o -name node_modules -o -name corpus -o -path ./tests/data \
		-o -path ./tests/integration/data \) -prune -o -type f -print |
		grep -vxE '\./tests/lint/paths\.sh'
}

deny 'a path of somebody'\''s machine' \
	'(^|[^[:alnum:]_./-])/work/(main|shared|\.library)|/tmp/(build-|bash_)|/home/[a-z]+/(src|git|pipeline-guard)/' '.'
deny 'a package registry by host' \
	'(deb|security|ftp)\.debian\.org|npmjs\.(org|com)|pypi\.org|pythonhosted|proxy\.golang|(static|index)\.crates\.io' \
	'\.(c|h|sh|js|mjs|cmake|txt|yaml|yml|json|md)$|/(dev|Dockerfile|run)$'
deny 'an unfinished mark: finish it, or open an issue' \
	'(^|[^[:alnum:]_])(TODO|FIXME|XXX|HACK)([^[:alnum:]_]|$)' '.' '^\./conf/rules/'
deny 'a test that sleeps: wait for a condition with a deadline' \
	'^[^#]*(^|[;&|([:space:]])u?sleep[[:space:]]+[0-9$"]' '^\./tests/.*\.sh$|^\./dev$' '^\./tests/bench/'
exit $status
