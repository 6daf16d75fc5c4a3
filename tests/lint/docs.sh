#!/bin/sh
# docs/configuration.md and causes.md are what the program prints, and links between documents lead somewhere.
# Usage: docs.sh SOURCE_DIR PIPELINE_GUARD
cd "$1" || exit 2
guard=$2
status=0

if ! "$guard" config --markdown | diff -u docs/configuration.md -; then
	echo "^ docs/configuration.md is stale: pipeline-guard config --markdown > docs/configuration.md" >&2
	status=1
fi

if ! "$guard" rules causes --markdown | diff -u docs/causes.md -; then
	echo "^ docs/causes.md is stale: pipeline-guard rules causes --markdown > docs/causes.md" >&2
	status=1
fi

for page in *.md docs/*.md docs/*/*.md ml/*.md; do
	[ -f "$page" ] || continue
	links=$(grep -oE '\]\([^)#: ]+' "$page" | sed 's/^](//')
	for link in $links; do
		if [ ! -e "$(dirname "$page")/$link" ]; then
			echo "$page: the link to $link leads nowhere" >&2
			status=1
		fi
	done
done
exit $status
