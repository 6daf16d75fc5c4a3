#!/usr/bin/env bash
# Memory of every process of `start`: idle after the start, and idle again after EVENTS failed runs
# were diagnosed and healed. Twice: when the rules had to be compiled, and when they were in the cache.
# RSS counts shared libraries in full, PSS by share; both in MB (1000 kB).
#
# Usage: weight.sh BUILD_DIR      with EVENTS, BENCH_PORT in the environment
set -u

build=$(cd "${1:?usage: weight.sh BUILD_DIR}" && pwd)
guard=$build/cli/pipeline-guard
simulator=$build/tests/simulator/pipeline-guard-simulator
events=${EVENTS:-100} port=${BENCH_PORT:-18294}
work=$build/bench-weight

# shellcheck source=tests/bench/setup.sh
. "$(dirname "$0")/setup.sh"
need redis-server curl
need_built "$guard" "$simulator"

children_of() {
	cat /proc/[0-9]*/stat 2>/dev/null | sed 's/ (.*) / /' | awk -v p="$1" '$3 == p { print $1 }'
}

# "ROLE rss pss" of a process
weigh() {
	local words role
	mapfile -d '' -t words <"/proc/$1/cmdline"
	role=${words[1]:-}
	case ${words[0]} in *redis-server*) role=redis ;; esac
	[ "$role" != start ] || role=supervisor
	awk -v role="$role" '/^Rss:/ { rss = $2 } /^Pss:/ { pss = $2 }
		END { printf "%s %.1f/%.1f", role, rss / 1000, pss / 1000 }' "/proc/$1/smaps_rollup"
}

report() { # report WHEN
	local pid line=
	for pid in "$start" $(children_of "$start"); do
		line+=", $(weigh "$pid")"
	done
	printf '%-40s rss/pss MB: %s\n' "$1" "${line#, }"
}

healed() {
	curl -s "http://127.0.0.1:$port/_sim/summary" | grep -o '"healed":[0-9]*' | cut -d: -f2
}

once() { # once WHAT
	local url _
	"$simulator" --listen "127.0.0.1:$port" --token-file "$work/token" \
		--secret-file "$work/secret" --job-ms 200 >"$work/simulator.log" 2>&1 &
	started
	wait_for 'ready http' "$work/simulator.log"
	PIPELINE_GUARD_GITHUB_WEBHOOK_SECRET_FILE=$work/secret PIPELINE_GUARD_DATA_DIR=$work/data \
		PIPELINE_GUARD_GITHUB_TOKEN_FILE=$work/token \
		PIPELINE_GUARD_GITHUB_API_URL=http://127.0.0.1:$port \
		"$guard" start --listen 127.0.0.1:0 --log-format json \
		--set heal.per_pipeline_hour=1000 --set incident.enabled=false \
		--set github.write_interval=0s >"$work/start.log" 2>&1 &
	start=$!
	pids=("$start" "${pids[@]}")
	wait_for 'dispatcher consumes' "$work/start.log"
	sleep 2
	report "$1: after the start"
	url=$(grep -om1 'http://[0-9.:]*/webhooks/github' "$work/start.log")
	curl -s -o /dev/null -d "{\"url\":\"$url\"}" "http://127.0.0.1:$port/_sim/hook"
	for _ in $(seq "$events"); do
		curl -s -o /dev/null -d '{"cause":"network_dns"}' "http://127.0.0.1:$port/_sim/runs"
	done
	for _ in $(seq 300); do
		[ "$(healed)" -lt "$events" ] || break
		sleep 0.1
	done
	sleep 2
	report "$1: after $(healed) heals"
	stop
}

rm -rf "$work"
umask 077
mkdir -p "$work"
printf 'a secret for benchmarks only' >"$work/secret"
printf 'token-for-benchmarks-only' >"$work/token"
once 'rules compiled'
# The second simulator has the same runs; to a guard that knows them nothing would be new.
rm -rf "$work/data/redis"
once "rules from the cache"
