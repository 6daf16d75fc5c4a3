#!/usr/bin/env bash
# From the webhook of a failure to the accepted re-run: the simulator makes RATE failing runs a
# second for SECS seconds; receiver, Redis with every write on disk, and dispatcher do the rest, the
# job's log fetched and read. Says also what was lost, done twice, and the CPU time of a failure.
#
# About ten steps of a failure wait for the disk, one after the other, so the time of a synced write is
# printed too. REDIS_DIR puts Redis elsewhere: in a folder in memory the rest of the time is left.
#
# Usage: latency.sh BUILD_DIR      with RATE, SECS, ROUNDS, REDIS_DIR, BENCH_PORT in the environment
set -u

build=$(cd "${1:?usage: latency.sh BUILD_DIR}" && pwd)
guard=$build/cli/pipeline-guard
simulator=$build/tests/simulator/pipeline-guard-simulator
rate=${RATE:-50} secs=${SECS:-20} rounds=${ROUNDS:-3} port=${BENCH_PORT:-18293}
work=$build/bench-latency redis_dir=${REDIS_DIR:-$build/bench-latency/redis}

# shellcheck source=tests/bench/setup.sh
. "$(dirname "$0")/setup.sh"
need redis-server redis-cli curl
need_built "$guard" "$simulator"

# User and system time of a process so far, in ticks. Names may have spaces: cut them off first.
ticks() {
	sed 's/^.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'
}

number() { # number NAME: of the summary
	grep -o "\"$1\":[0-9]*" <<<"$summary" | head -n 1 | cut -d: -f2
}

# What one small write costs when it has to be on the disk.
synced_write_ms() {
	local writes=200
	LC_ALL=C dd if=/dev/zero of="$redis_dir/probe" bs=512 count="$writes" oflag=dsync 2>&1 |
		awk -v n="$writes" '/copied/ { printf "%.2f", $(NF - 3) * 1000 / n }'
	rm -f "$redis_dir/probe"
}

start_all() {
	rm -rf "$work" "${redis_dir:?}/appendonlydir"
	umask 077
	mkdir -p "$work" "$redis_dir"
	printf 'a secret for benchmarks only' >"$work/secret"
	printf token-for-benchmarks-only >"$work/token"
	start_redis "$work" --dir "$redis_dir" --appendonly yes --appendfsync always
	redis=$!
	export PIPELINE_GUARD_REDIS_URL="unix://$work/redis.sock" PIPELINE_GUARD_DATA_DIR="$work/data"
	PIPELINE_GUARD_GITHUB_WEBHOOK_SECRET_FILE=$work/secret \
		"$guard" receiver --listen 127.0.0.1:0 --admin-listen none >"$work/receiver.log" 2>&1 &
	receiver=$!
	started
	wait_for 'ready http' "$work/receiver.log"
	# The limits that protect a real server would end the measurement.
	PIPELINE_GUARD_GITHUB_TOKEN_FILE=$work/token \
		PIPELINE_GUARD_GITHUB_API_URL=http://127.0.0.1:$port \
		"$guard" dispatcher --admin-listen none --set heal.per_pipeline_hour=1000 \
		--set heal.concurrent=1000 --set incident.enabled=false --set github.write_interval=0s >"$work/dispatcher.log" 2>&1 &
	dispatcher=$!
	started
	wait_for 'dispatcher ready' "$work/dispatcher.log"
}

# Until every run is over and was run again, or nothing more happens.
wait_for_the_last() {
	local deadline=$((SECONDS + secs + 20))
	while [ "$SECONDS" -lt "$deadline" ]; do
		summary=$(curl -s "http://127.0.0.1:$port/_sim/summary")
		[ "$(number runs)" != "$count" ] || [ "$(number running)" != 0 ] ||
			[ "$(number rerun_accepted)" -lt "$count" ] || return
		sleep 0.5
	done
}

once() {
	local before=() after=() cpu=() i sync names=(receiver dispatcher redis)
	start_all
	sync=$(synced_write_ms)
	for i in "$receiver" "$dispatcher" "$redis"; do
		before+=("$(ticks "$i")")
	done
	"$simulator" --listen "127.0.0.1:$port" --token-file "$work/token" --secret-file "$work/secret" \
		--webhook-url "$(wait_for_url "$work/receiver.log")/webhooks/github" \
		--rate "$rate" --count "$count" --cause "${CAUSE:-network_failure}" --job-ms 300 \
		>"$work/simulator.log" 2>&1 &
	started
	wait_for 'ready http' "$work/simulator.log"
	wait_for_the_last
	for i in "$receiver" "$dispatcher" "$redis"; do
		after+=("$(ticks "$i")")
	done
	for i in 0 1 2; do
		cpu+=("${names[i]} $(awk -v t=$((after[i] - before[i])) -v hz="$(getconf CLK_TCK)" \
			-v n="$count" 'BEGIN { printf "%.2f", t * 1000 / hz / n }')")
	done
	printf '%s failures/s: ms p50 %s p90 %s p99 %s max %s; of %s lost %s, twice %s; webhooks %s; synced write %s ms; cpu_ms/failure: %s\n' \
		"$rate" "$(number p50)" "$(number p90)" "$(number p99)" "$(number max)" "$count" \
		"$((count - $(number rerun_accepted)))" "$(number rerun_twice)" "$(number webhooks)" "$sync" \
		"$(printf '%s, ' "${cpu[@]}" | sed 's/, $//')"
	stop
}

count=$((rate * secs))
conditions
for _ in $(seq "$rounds"); do
	once
done
