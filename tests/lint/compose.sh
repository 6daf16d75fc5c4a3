#!/bin/sh
# The Compose file is accepted by docker-compose or the Compose plugin. Neither needs an engine
# for this.
# Usage: compose.sh SOURCE_DIR
cd "$1" || exit 2
if command -v docker-compose >/dev/null; then
	compose() { docker-compose "$@"; }
elif command -v docker >/dev/null && docker compose version >/dev/null 2>&1; then
	compose() { docker compose "$@"; }
else
	echo "SKIPPED: no Compose here" >&2
	exit 77
fi
compose -f docker-compose.yml config -q || exit 1

# Secrets are files that are mounted, never values.
out=$(compose -f docker-compose.yml config) || exit 1
if echo "$out" | grep -E '_(TOKEN|SECRET|KEY|PASSWORD)(_FILE)?:' | grep -vE '_FILE: /run/secrets/'; then
	echo "^ a secret in the environment" >&2
	exit 1
fi
for must in 'appendfsync' 'noeviction' 'read_only: true' 'no-new-privileges:true' 'internal: true'; do
	echo "$out" | grep -qF -e "$must" || {
		echo "docker-compose.yml: $must is gone" >&2
		exit 1
	}
done
