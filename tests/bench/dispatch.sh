#!/usr/bin/env bash
# What an event costs a dispatcher. A backlog of events that are no failures is written into a real
# Redis in memory and drained: CPU time of dispatcher and Redis per event, memory on the way, over
# 1,000 and over 10,000 pipelines, with one dispatcher and with two. Then failures against a provider that
# thinks for 100 ms, where more dispatchers have to bring more. Last how soon entries of a killed
# dispatcher are taken over.
#
# CPU time is the kernel's count of the process (schedstat); wall time on a shared machine says little.
#
# Usage: dispatch.sh BUILD_DIR      with EVENTS, SMALL, FAILURES, BENCH_PORT in the environment
set -u

build=$(cd "${1:?usage: dispatch.sh BUILD_DIR}" && pwd)
guard=$build/cli/pipeline-guard
simulator=$build/tests/simulator/pipeline-guard-simulator
load=$build/tests/bench/dispatch/dispatch_load
events=${EVENTS:-1000000} small=${SMALL:-100000} failures=${FAILURES:-300} port=${BENCH_PORT:-18295}
work=$build/bench-dispatch
socket=$work/redis.sock
stream='pg:{local:0}:events'

# shellcheck source=tests/bench/setup.sh
. "$(dirname "$0")/setup.sh"
need redis-server redis-cli curl
need_built "$guard" "$simulator" "$load"

dispatchers=() redis=''

cli() { redis-cli -s "$socket" "$@"; }
cpu_ns() { cut -d' ' -f1 "/proc/$1/schedstat"; }
rss_mb() { awk '/^VmRSS/ { printf "%.1f", $2 / 1000 }' "/proc/$1/status"; }
calc() { awk "BEGIN { printf \"$1\", $2 }"; }

start_fresh() {
	rm -rf "$work"
	umask 077
	mkdir -p "$work"
	start_redis "$work"
	redis=$!
	export PIPELINE_GUARD_REDIS_URL="unix://$socket" PIPELINE_GUARD_DATA_DIR="$work/data"
}

start_dispatchers() { # start_dispatchers N [--set ...]
	local n=$1 i
	shift
	for i in $(seq "$n"); do
		"$guard" dispatcher --admin-listen none --set monitor.enabled=false --set incident.enabled=false "$@" \
			>"$work/dispatcher.$i.log" 2>&1 &
		dispatchers+=("$!")
		started
	done
	for i in $(seq "$n"); do
		wait_for 'dispatcher ready' "$work/dispatcher.$i.log"
	done
}

stop_dispatchers() {
	local pid
	for pid in "${dispatchers[@]}"; do
		kill "$pid" 2>/dev/null
		wait "$pid"
	done
	dispatchers=()
}

group() { # group FIELD
	cli xinfo groups "$stream" | awk -v f="$1" 'found { print; exit } $1 == f { found = 1 }'
}

sum_cpu() {
	local pid total=0
	for pid in "${dispatchers[@]}"; do
		total=$((total + $(cpu_ns "$pid")))
	done
	echo "$total"
}

# Dispatchers have to be ready before the backlog is theirs.
hold() { cli rename "$stream" "$stream.later" >/dev/null; }
release() {
	printf 'MULTI\nDEL %s\nRENAME %s %s\nXGROUP CREATE %s dispatchers 0\nEXEC\n' "$stream" \
		"$stream.later" "$stream" "$stream" | cli >/dev/null
}

# Sets us and redis_us, the CPU time of each event, and rss, the most of any dispatcher on the way.
drain() { # drain N_DISPATCHERS EVENTS PIPELINES KIND
	local n=$1 before redis_before began mb taken=()
	start_fresh
	"$load" "$socket" "$2" "$3" "$4" || exit 2
	hold
	start_dispatchers "$n"
	sleep 1
	before=$(sum_cpu) redis_before=$(cpu_ns "$redis") began=$(date +%s%N) rss=0
	release
	until [ "$(group lag)" = 0 ] && [ "$(group pending)" = 0 ]; do
		for pid in "${dispatchers[@]}"; do
			mb=$(rss_mb "$pid")
			[ "$(calc %d "($mb > $rss)")" = 0 ] || rss=$mb
		done
		sleep 0.1
	done
	us=$(calc %.2f "($(sum_cpu) - $before) / 1000 / $2")
	redis_us=$(calc %.2f "($(cpu_ns "$redis") - $redis_before) / 1000 / $2")
	wall=$(calc %.1f "($(date +%s%N) - $began) / 1e9")
	for pid in "${dispatchers[@]}"; do
		taken+=("$(rss_mb "$pid")")
	done
	if [ "$(cli xlen 'pg:{local:0}:dead')" != 0 ] || [ "$(cli zcard 'pg:{local:0}:runs')" = 0 ]; then
		echo "bench: dead letters, or nothing recorded" >&2
		exit 1
	fi
	printf '%d x %7d events, %5d pipelines, %-5s: cpu us/event %5.2f (%7d events per CPU second), redis %5.2f; rss MB most %s, last %s; wall %s s\n' \
		"$n" "$2" "$3" "$4" "$us" "$(calc %d "1000000 / $us")" "$redis_us" "$rss" "${taken[*]}" "$wall"
	stop_dispatchers
	stop
}

conditions
for kind in mixed runs; do
	drain 1 "$small" 1000 "$kind"
	few=$us
	drain 1 "$small" 10000 "$kind"
	many=$us
	drain 1 "$events" 10000 "$kind"
	one=$us
	drain 2 "$events" 10000 "$kind"
	printf '%s: 10,000 pipelines against 1,000: %s; %s events against %s: %s; two dispatchers against one: %s\n' \
		"$kind" "$(calc %.2f "$many / $few")" "$events" "$small" "$(calc %.2f "$one / $many")" \
		"$(calc %.2f "$us / $one")"
done

summary() { curl -s "http://127.0.0.1:$port/_sim/summary" | grep -o "\"$1\":[0-9]*" | head -n 1 | cut -d: -f2; }

# Sets rate, the failures a second that N dispatchers bring to an accepted re-run.
heal() { # heal N_DISPATCHERS
	local began before
	start_fresh
	printf 'a secret for benchmarks only' >"$work/secret"
	printf token-for-benchmarks-only >"$work/token"
	PIPELINE_GUARD_GITHUB_WEBHOOK_SECRET_FILE=$work/secret \
		"$guard" receiver --listen 127.0.0.1:0 --admin-listen none >"$work/receiver.log" 2>&1 &
	started
	wait_for 'ready http' "$work/receiver.log"
	"$simulator" --listen "127.0.0.1:$port" --token-file "$work/token" --secret-file "$work/secret" \
		--webhook-url "$(wait_for_url "$work/receiver.log")/webhooks/github" \
		--rate 100 --count "$failures" --cause network_failure --job-ms 100 --latency-ms 100 \
		>"$work/simulator.log" 2>&1 &
	started
	wait_for 'ready http' "$work/simulator.log"
	until [ "$(summary runs)" = "$failures" ] && [ "$(summary running)" = 0 ] &&
		[ "$(summary webhooks_waiting)" = 0 ]; do
		sleep 0.2
	done
	hold
	PIPELINE_GUARD_GITHUB_TOKEN_FILE=$work/token PIPELINE_GUARD_GITHUB_API_URL=http://127.0.0.1:$port \
		start_dispatchers "$1" --set heal.per_pipeline_hour=1000 --set heal.concurrent=1000 \
		--set github.write_interval=0s --set dispatcher.concurrency=8
	sleep 1
	before=$(sum_cpu) began=$(date +%s%N)
	release
	until [ "$(summary rerun_accepted)" = "$failures" ]; do
		sleep 0.1
	done
	rate=$(calc %.1f "$failures / (($(date +%s%N) - $began) / 1e9)")
	printf '%d x %d failures, 8 at a time each, 100 ms per call: %s re-runs/s, %s ms of CPU each, twice %s\n' \
		"$1" "$failures" "$rate" "$(calc %.2f "($(sum_cpu) - $before) / 1e6 / $failures")" \
		"$(summary rerun_twice)"
	stop_dispatchers
	stop
}

heal 1
one=$rate
heal 2
printf 'bound by the provider: two dispatchers bring %s times as much\n' "$(calc %.2f "$rate / $one")"

# A dispatcher is killed amid a backlog: when are the entries it held somebody else's?
killed() {
	local began name held counted=0 _
	start_fresh
	"$load" "$socket" "$((rounds * 400000))" 1000 runs || exit 2
	cli xgroup create "$stream" dispatchers 0 >/dev/null
	for _ in $(seq "$((rounds * 4))"); do
		[ "$counted" -lt "$rounds" ] || break
		start_dispatchers 2 --set dispatcher.claim_idle=2s
		name=$(grep -om1 'dispatcher ready [^ ]*' "$work/dispatcher.1.log" | cut -d' ' -f3)
		sleep 0.2
		kill -9 "${dispatchers[0]}"
		began=$(date +%s%N)
		wait "${dispatchers[0]}" 2>/dev/null
		held=$(cli xpending "$stream" dispatchers - + 1000 "$name" | grep -c "$name")
		while cli xpending "$stream" dispatchers - + 1 "$name" | grep -q "$name"; do
			sleep 0.02
		done
		# Killed between two batches, it held none.
		if [ "$held" -gt 0 ]; then
			counted=$((counted + 1))
			printf 'killed with %3d entries; with claim_idle 2 s they were taken over after %s s\n' \
				"$held" "$(calc %.2f "($(date +%s%N) - $began) / 1e9")"
		fi
		dispatchers=("${dispatchers[1]}")
		stop_dispatchers
	done
	stop
}

rounds=${ROUNDS:-5}
killed
