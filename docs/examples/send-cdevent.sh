#!/bin/sh
# Sends a CDEvent to Pipeline Guard, signed as Standard Webhooks has it. Needs curl and perl.
#
# Usage: GUARD_URL=https://guard.example.com/webhooks/generic GUARD_KEY=whsec_... \
#   send-cdevent.sh queued|started|finished RUN_ID PIPELINE [success|failure|error|cancel]
set -eu

state=${1:?usage: send-cdevent.sh STATE RUN_ID PIPELINE [OUTCOME]}
run=${2:?} pipeline=${3:?} outcome=${4:-}
: "${GUARD_URL:?}" "${GUARD_KEY:?}"
: "${GUARD_SOURCE:=/ci/$(uname -n)}"
export GUARD_KEY GUARD_SOURCE

id=$(perl -MTime::HiRes=time -e 'printf "evt_%d_%d", time() * 1e6, $$')
time=$(date +%s)
body=$(ID=$id STATE=$state RUN=$run PIPELINE=$pipeline OUTCOME=$outcome \
	perl -MJSON::PP -MPOSIX=strftime -e '
	my %e = %ENV;
	my $content = { pipelineName => $e{PIPELINE}, $e{OUTCOME} ? (outcome => $e{OUTCOME}) : () };
	print JSON::PP->new->canonical->encode({
		context => { version => "0.4.1", id => $e{ID}, source => $e{GUARD_SOURCE},
			     type => "dev.cdevents.pipelinerun.$e{STATE}.0.2.0",
			     timestamp => strftime("%Y-%m-%dT%H:%M:%SZ", gmtime) },
		subject => { id => $e{RUN}, source => $e{GUARD_SOURCE}, type => "pipelineRun",
			     content => $content } })')

signature=$(printf '%s.%s.%s' "$id" "$time" "$body" | perl -MDigest::SHA=hmac_sha256 \
	-MMIME::Base64 -e 'local $/; (my $key = $ENV{GUARD_KEY}) =~ s/^whsec_//;
	print encode_base64(hmac_sha256(scalar <STDIN>, decode_base64($key)), "")')

printf %s "$body" | curl --silent --show-error --fail --max-time 20 --retry 3 \
	-H 'Content-Type: application/json' -H "webhook-id: $id" -H "webhook-timestamp: $time" \
	-H "webhook-signature: v1,$signature" --data-binary @- "$GUARD_URL"
