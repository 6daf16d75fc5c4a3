#!/usr/bin/env bash
# What is gained and what is wasted: the same failing world under the guard, under "retry everything
# twice" (GitLab's retry: 2), under "retry when the log has one of the usual words" (as Jenkins' Naginator
# is set up), and under nobody. Half way one outage hits every run, at first and again.
#
# The world: RUNS failing runs, of which TRANSIENT are of a transient cause (36 %, as of the published re-run
# sets of GitHub Actions those that ended well), the rest lasting or flaky. A CI minute is a job that ran:
# jobs of the simulator all take as long. It says per policy how many were healed, re-run at all, jobs that ran
# again and ran again in vain, time to green, re-runs made during the outage, and runs left to people.
#
# Usage: decisions.sh BUILD_DIR      with RUNS, RATE, TRANSIENT, OUTAGE_MS, SEED, BENCH_PORT in the environment
set -u

build=$(cd "${1:?usage: decisions.sh BUILD_DIR}" && pwd)
guard=$build/cli/pipeline-guard
simulator=$build/tests/simulator/pipeline-guard-simulator
world=$build/tests/bench/decisions/decisions_world
runs=${RUNS:-300} rate=${RATE:-10} transient=${TRANSIENT:-0.36} outage_ms=${OUTAGE_MS:-5000}
seed=${SEED:-7} port=${BENCH_PORT:-18297}
url=http://127.0.0.1:$port
work=$build/bench-decisions

for tool in redis-server curl; do
	command -v "$tool" >/dev/null || {
		echo "bench: $tool is needed" >&2
		exit 77
	}
done
for program in "$guard" "$simulator" "$world"; do
	[ -x "$program" ] || {
		echo "bench: no $program" >&2
		exit 2
	}
done

pids=()
stop() {
	local pid
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null
	done
	for pid in "${pids[@]}"; do
		wait "$pid" 2>/dev/null
	done
	pids=()
}
trap stop EXIT

# wait_for PATTERN FILE
wait_for() {
	local _
	for _ in $(seq 400); do
		grep -qm1 "$1" "$2" 2>/dev/null && return
		sleep 0.05
	done
	echo "bench: \"$1\" did not come:" >&2
	tail -n 5 "$2" >&2
	exit 2
}

reruns() { curl -s "$url/_sim/summary" | grep -o '"rerun_accepted":[0-9]*' | cut -d: -f2; }

start_guard() {
	redis-server --port 0 --unixsocket "$work/redis.sock" --dir "$work" --save '' \
		--appendonly no >"$work/redis.log" 2>&1 &
	pids+=("$!")
	wait_for 'ready to accept' "$work/redis.log"
	export PIPELINE_GUARD_REDIS_URL="unix://$work/redis.sock" PIPELINE_GUARD_DATA_DIR="$work/data"
	PIPELINE_GUARD_GITHUB_WEBHOOK_SECRET_FILE=$work/secret \
		"$guard" receiver --listen 127.0.0.1:0 --admin-listen none >"$work/receiver.log" 2>&1 &
	pids+=("$!")
	wait_for 'ready http' "$work/receiver.log"
	# Limits that protect a real server would decide the comparison. A job of 200 ms stands for one of two
	# minutes, so the times of the incident brake are 600 times as short; the rest is as it comes.
	PIPELINE_GUARD_GITHUB_TOKEN_FILE=$work/token PIPELINE_GUARD_GITHUB_API_URL=$url \
		"$guard" dispatcher --admin-listen none --set heal.per_pipeline_hour=1000 \
		--set github.write_interval=0s --set monitor.enabled=false \
		--set incident.window=1s --set incident.probe=200ms --set incident.probe_cap=3s \
		--set incident.release_per_minute=600 --set incident.quiet=1s >"$work/dispatcher.log" 2>&1 &
	pids+=("$!")
	wait_for 'dispatcher ready' "$work/dispatcher.log"
}

# The outage, and how many re-runs were made while it lasted.
outage() {
	local before
	sleep "$(awk "BEGIN { print $runs / $rate / 2 }")"
	before=$(reruns)
	curl -s -o "$work/outage.answer" -d "{\"category\":\"network_failure\",\"ms\":$outage_ms}" "$url/_sim/outage"
	sleep "$(awk "BEGIN { print $outage_ms / 1000 }")"
	echo "$(($(reruns) - before))" >"$work/outage"
}

once() { # once POLICY
	local hook=() seconds=$((runs / rate + 90)) result
	rm -rf "$work"
	umask 077
	mkdir -p "$work"
	printf 'a secret for benchmarks only' >"$work/secret"
	printf token-for-benchmarks-only >"$work/token"
	if [ "$1" = ours ]; then
		start_guard
		hook=(--webhook-url "$(grep -om1 'http://[0-9.:]*' "$work/receiver.log")/webhooks/github")
	fi
	"$simulator" --listen "127.0.0.1:$port" --token-file "$work/token" --secret-file "$work/secret" \
		"${hook[@]}" --rate "$rate" --count "$runs" --transient-rate "$transient" --seed "$seed" \
		--job-ms 200 >"$work/simulator.log" 2>&1 &
	pids+=("$!")
	wait_for 'ready http' "$work/simulator.log"
	outage &
	case $1 in
	ours | never) result=$("$world" watch "$url" "$runs" "$seconds") ;;
	*) result=$("$world" "$1" "$url" token-for-benchmarks-only "$runs" "$seconds") ;;
	esac
	printf '%-12s %s outage_reruns %s\n' "$1" "$result" "$(cat "$work/outage")"
	stop
}

echo "load average $(cut -d' ' -f1-3 /proc/loadavg), $(nproc) processors; $runs runs, $rate a second, transient $transient, seed $seed"
for policy in ${POLICIES:-never retry_twice regex ours}; do
	once "$policy"
done
