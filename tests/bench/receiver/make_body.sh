#!/usr/bin/env bash
# Prints a workflow_run webhook of about 17 KB, shaped as GitHub sends it: most of it is
# URLs of two repositories that nobody asked for.
set -eu

owner=example-org
repo=delivery
api=https://api.github.test/repos/$owner/$repo

urls() { # urls BASE NAME...: "NAME_url" members
	local base=$1 name
	shift
	for name in "$@"; do
		printf '"%s_url":"%s/%s{/%s}",' "$name" "$base" "$name" "$name"
	done
}

account() { # account LOGIN ID
	printf '{"login":"%s","id":%d,"node_id":"MDQ6VXNlcj%d","avatar_url":"https://avatars.github.test/u/%d?v=4",' \
		"$1" "$2" "$2" "$2"
	urls "https://api.github.test/users/$1" followers following gists starred subscriptions \
		organizations repos events received_events
	printf '"type":"User","site_admin":false}'
}

repository() {
	printf '{"id":217723378,"node_id":"MDEwOlJlcG9zaXRvcnky","name":"%s","full_name":"%s/%s","private":false,"owner":' \
		"$repo" "$owner" "$repo"
	account "$owner" 8466992
	printf ',"html_url":"https://github.test/%s/%s","description":"Builds, tests and ships \\u201cthe service\\u201d","fork":false,' \
		"$owner" "$repo"
	urls "$api" forks keys collaborators teams hooks events assignees branches tags \
		blobs git_refs trees statuses languages contributors \
		commits comments issue_comment contents compare merges archive \
		downloads issues pulls milestones notifications labels releases deployments
	printf '"created_at":"2019-10-26T14:39:01Z","updated_at":"2026-07-29T10:00:00Z","size":4096,'
	printf '"stargazers_count":12,"language":"C","has_issues":true,"archived":false,"topics":["ci","cd"],'
	printf '"visibility":"public","default_branch":"main"}'
}

printf '{"action":"completed","workflow_run":{"id":30433642,"name":"Build and test","node_id":"MDEyOldvcmtmbG93IFJ1bjI2OTI4OQ==",'
printf '"head_branch":"feature/faster-start","head_sha":"acb5820ced9479c074f688cc328bf03f341a511d","path":".github/workflows/build.yml",'
printf '"display_title":"Start faster","run_number":562,"event":"push","status":"completed","conclusion":"failure",'
printf '"workflow_id":159038,"check_suite_id":414944374,"run_attempt":1,"html_url":"https://github.test/%s/%s/actions/runs/30433642",' \
	"$owner" "$repo"
printf '"pull_requests":[],"created_at":"2026-07-29T10:01:29Z","updated_at":"2026-07-29T10:09:02Z","run_started_at":"2026-07-29T10:01:29Z","actor":'
account developer-one 4711
printf ',"triggering_actor":'
account developer-two 4712
printf ','
urls "$api/actions/runs/30433642" jobs logs check_suite artifacts cancel rerun workflow
printf '"head_commit":{"id":"acb5820ced9479c074f688cc328bf03f341a511d","tree_id":"d23f6eedb1e1b9610bbc754ddb5197bfe7271223",'
printf '"message":"Start faster\\n\\nRead the table once.","timestamp":"2026-07-29T10:01:00Z","author":{"name":"One","email":"one@example.test"}},'
printf '"repository":'
repository
printf ',"head_repository":'
repository
printf '},"workflow":{"id":159038,"name":"Build and test","path":".github/workflows/build.yml","state":"active"},"repository":'
repository
printf ',"organization":'
account "$owner" 8466992
printf ',"sender":'
account developer-two 4712
printf '}'
