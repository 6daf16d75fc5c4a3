#!/bin/sh
# Tells Pipeline Guard how a Jenkins build ended, signed with HMAC-SHA256, because the
# Notification plugin cannot sign. Needs curl and perl, as every agent with git has them.
#
# Usage, in a step of the build: GUARD_URL=https://guard.example.com/webhooks/jenkins \
#   GUARD_KEY=... send-build.sh SUCCESS|FAILURE|UNSTABLE|ABORTED|NOT_BUILT
# GUARD_KEY comes from a "secret text" credential. The rest is in every build's environment.
set -eu

status=${1:?usage: send-build.sh STATUS}
: "${GUARD_URL:?}" "${GUARD_KEY:?}" "${BUILD_NUMBER:?}" "${BUILD_URL:?}" "${JOB_BASE_NAME:?}"
export GUARD_KEY

# The shape of the plugin's own notification. JSON::PP comes with perl and escapes what must be.
body=$(BUILD_STATUS=$status perl -MJSON::PP -MTime::HiRes=time -e '
	my %e = %ENV;
	my $scm = { map { defined $e{$_->[1]} ? ($_->[0] => $e{$_->[1]}) : () }
		    ["url", "GIT_URL"], ["branch", "GIT_BRANCH"], ["commit", "GIT_COMMIT"] };
	print JSON::PP->new->canonical->encode({
		name => $e{JOB_BASE_NAME},
		build => { full_url => $e{BUILD_URL}, number => int($e{BUILD_NUMBER}),
			   phase => "FINALIZED", status => $e{BUILD_STATUS},
			   timestamp => int(time() * 1000), scm => $scm } })')

# The key stays in the environment: arguments of programs can be seen by everybody on the machine.
signature=$(printf %s "$body" | perl -MDigest::SHA=hmac_sha256_hex -e '
	local $/; print hmac_sha256_hex(scalar <STDIN>, $ENV{GUARD_KEY})')

printf %s "$body" | curl --silent --show-error --fail --max-time 20 --retry 3 \
	-H 'Content-Type: application/json' -H "X-Hub-Signature-256: sha256=$signature" \
	--data-binary @- "$GUARD_URL"
