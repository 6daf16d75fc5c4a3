#!/usr/bin/env bash
# What is gained and what is wasted: the same failing world under the guard, under "retry everything
# twice" (GitLab's retry: 2), under "retry when the log has one of the usual words" (as Jenkins' Naginator
# is set up), and under nobody. Half way one outage hits every run, at first and again.
#
# The world: RUNS failing runs, of which TRANSIENT have a cause that can pass, each re-run of one passes with
# the chance HEALS, and the rest lasts or is flaky. Both are the rates of the published re-runs of GitHub Actions
# (gha_reruns): from the data in GUARD_DATA when they are there, else as they were read from them once.
# Everything is SCALE times as fast as for real: a job of 200 ms stands for two minutes, and the guard's own
# times are shortened alike. Each seed is another world with another kind of outage.
#
# "ours" is the guard as it comes, with one re-run of a run; "ours_twice" may do a second one.
#
# Usage: decisions.sh BUILD_DIR      with RUNS, RATE, TRANSIENT, HEALS, OUTAGE_MS, SEEDS, OUTAGES, POLICIES,
#                                    GUARD_SETS ("key=value ..."), BENCH_PORT in the environment
set -u

build=$(cd "${1:?usage: decisions.sh BUILD_DIR}" && pwd)
guard=$build/cli/pipeline-guard
simulator=$build/tests/simulator/pipeline-guard-simulator
world=$build/tests/bench/decisions/decisions_world
runs=${RUNS:-300} rate=${RATE:-10} outage_ms=${OUTAGE_MS:-5000} port=${BENCH_PORT:-18297}
read -ra seeds <<<"${SEEDS:-7 8 9}"
read -ra outages <<<"${OUTAGES:-network_dns network_503 runner_shutdown}"
read -ra more_sets <<<"${GUARD_SETS:-}"
scale=600 job_ms=200
data=${GUARD_DATA:-$(dirname "$0")/../../../shared/data}/gha_reruns
url=http://127.0.0.1:$port
work=$build/bench-decisions

# shellcheck source=tests/bench/setup.sh
. "$(dirname "$0")/setup.sh"
need redis-server curl
need_built "$guard" "$simulator" "$world"

# The share of re-run sets that ended well, and of those the share that did at the first re-run.
transient=0.356 heals=0.789 rates="built in"
if [ -r "$data/flakiness_workflow_rerun.csv" ]; then
	rates="read from gha_reruns"
	transient=$(awk '{ gsub(/"[^"]*"/, ""); n = split($0, f, ",") }
		NR > 1 && n >= 16 { good += f[15]; bad += f[16] }
		END { printf "%.3f", good / (good + bad) }' "$data/dataframe_workflow_rerun_distinct.csv")
	heals=$(awk -F, 'NR > 1 { n++; first += $1 == 1 } END { printf "%.3f", first / n }' \
		"$data/flakiness_workflow_rerun.csv")
fi
transient=${TRANSIENT:-$transient} heals=${HEALS:-$heals}

reruns() { curl -s "$url/_sim/summary" | grep -o '"rerun_accepted":[0-9]*' | cut -d: -f2; }

start_guard() { # start_guard SETTINGS
	start_redis "$work"
	export PIPELINE_GUARD_REDIS_URL="unix://$work/redis.sock" PIPELINE_GUARD_DATA_DIR="$work/data"
	PIPELINE_GUARD_GITHUB_WEBHOOK_SECRET_FILE=$work/secret \
		"$guard" receiver --listen 127.0.0.1:0 --admin-listen none >"$work/receiver.log" 2>&1 &
	started
	wait_for 'ready http' "$work/receiver.log"
	# Limits that protect a real server would decide the comparison. Times are the defaults, shortened.
	local sets=(heal.per_pipeline_hour=1000 github.write_interval=0s monitor.enabled=false
		dispatcher.poll=10ms heal.settle=25ms heal.backoff=300ms heal.backoff_max=6s
		incident.window=1s incident.probe=200ms incident.probe_cap=3s
		incident.release_per_minute=3000 incident.quiet=1s "$@" "${more_sets[@]}")
	PIPELINE_GUARD_GITHUB_TOKEN_FILE=$work/token PIPELINE_GUARD_GITHUB_API_URL=$url \
		"$guard" dispatcher --admin-listen none "${sets[@]/#/--set=}" >"$work/dispatcher.log" 2>&1 &
	started
	wait_for 'dispatcher ready' "$work/dispatcher.log"
}

noticed() { grep -qs 'what fails of it is held' "$work/dispatcher.log"; }

# The outage: how many re-runs were made while it lasted, before and after the guard noticed it, and how
# many canaries its probe intervals allow for.
outage() { # outage CAUSE
	local first begun now at seen='' seen_ms=''
	sleep "$(awk "BEGIN { print $runs / $rate / 2 }")"
	first=$(reruns)
	begun=$(date +%s%3N)
	curl -s -o "$work/outage.answer" -d "{\"cause\":\"$1\",\"ms\":$outage_ms}" "$url/_sim/outage"
	while now=$(date +%s%3N) && [ $((now - begun)) -lt "$outage_ms" ]; do
		if [ -z "$seen" ] && noticed; then
			seen=$(reruns) seen_ms=$((now - begun))
		fi
		sleep 0.05
	done
	at=$(reruns)
	awk -v all=$((at - first)) -v after="${seen:+$((at - seen))}" -v ms="${seen_ms:-$outage_ms}" \
		-v end="$outage_ms" 'BEGIN {
		for (wait = 200; ms + wait < end; wait = wait * 2 > 3000 ? 3000 : wait * 2) { ms += wait; may++ }
		printf "outage_reruns %d held_reruns %d canaries_may %d\n", all, after, may }' >"$work/outage"
}

once() { # once POLICY SEED OUTAGE
	local hook=() seconds=$((runs / rate + 90)) result incidents
	rm -rf "$work"
	umask 077
	mkdir -p "$work"
	printf 'a secret for benchmarks only' >"$work/secret"
	printf token-for-benchmarks-only >"$work/token"
	if [[ $1 == ours* ]]; then
		start_guard "heal.reruns_per_run=$([ "$1" = ours ] && echo 1 || echo 2)"
		hook=(--webhook-url "$(wait_for_url "$work/receiver.log")/webhooks/github")
	fi
	"$simulator" --listen "127.0.0.1:$port" --token-file "$work/token" --secret-file "$work/secret" \
		"${hook[@]}" --rate "$rate" --count "$runs" --transient-rate "$transient" --heal-rate "$heals" \
		--seed "$2" --job-ms "$job_ms" >"$work/simulator.log" 2>&1 &
	started
	wait_for 'ready http' "$work/simulator.log"
	outage "$3" &
	case $1 in
	ours* | never) result=$("$world" watch "$url" "$runs" "$seconds") ;;
	*) result=$("$world" "$1" "$url" token-for-benchmarks-only "$runs" "$seconds") ;;
	esac
	incidents=$(grep -cs 'what fails of it is held' "$work/dispatcher.log" || true)
	printf 'policy %s seed %s outage %s %s %s incidents %s\n' "$1" "$2" "$3" "$result" \
		"$(cat "$work/outage")" "${incidents:-0}"
	stop
}

# Of each policy over all seeds: mean, and from least to most.
summary() {
	awk -v scale="$scale" -v job="$job_ms" '
	function add(name, value) {
		sum[p, name] += value; n[p, name]++
		if (!((p, name) in low) || value < low[p, name]) low[p, name] = value
		if (!((p, name) in high) || value > high[p, name]) high[p, name] = value
	}
	{
		for (i = 1; i < NF; i += 2) v[$i] = $(i + 1)
		p = v["policy"]
		if (!(p in known)) { known[p] = 1; order[++policies] = p }
		add("healed", v["healed"]); add("tried", v["tried"])
		if (v["tried"] > 0) add("healed of tried, %", 100 * v["healed"] / v["tried"])
		add("CI minutes again", v["jobs_again"] * job * scale / 60000)
		add("... in vain", v["jobs_wasted"] * job * scale / 60000)
		if (v["healed"] > 0) add("minutes to green, p50", v["green_p50_ms"] * scale / 60000)
		add("re-runs in the outage", v["outage_reruns"])
		if (p ~ /^ours/) {
			add("... after it was noticed", v["held_reruns"])
			add("... that probes allow", v["canaries_may"])
		}
		add("people asked", v["left_red"] + v["incidents"])
	}
	END {
		m = split("healed|tried|healed of tried, %|CI minutes again|... in vain|minutes to green, p50|" \
			"re-runs in the outage|... after it was noticed|... that probes allow|people asked", rows, "|")
		printf "\n%-26s", ""
		for (k = 1; k <= policies; k++) printf "%22s", order[k]
		print ""
		for (i = 1; i <= m; i++) {
			printf "%-26s", rows[i]
			for (k = 1; k <= policies; k++) {
				p = order[k]; r = rows[i]
				if (n[p, r]) printf "%22s", sprintf("%.0f (%.0f to %.0f)", sum[p, r] / n[p, r], low[p, r], high[p, r])
				else printf "%22s", "-"
			}
			print ""
		}
	}' "$1"
}

conditions
echo "$runs runs, $rate a second;" \
	"transient $transient, of which $heals pass a re-run ($rates)"
lines=$build/bench-decisions.lines
: >"$lines"
for i in "${!seeds[@]}"; do
	for policy in ${POLICIES:-never retry_twice regex ours ours_twice}; do
		once "$policy" "${seeds[i]}" "${outages[i % ${#outages[@]}]}" | tee -a "$lines"
	done
done
summary "$lines"
