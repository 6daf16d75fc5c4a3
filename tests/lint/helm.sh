#!/bin/sh
# The chart lints and renders with values as people write them, refuses wrong ones, holds no
# secret, and its pods meet the "restricted" pod security standard.
# Usage: helm.sh SOURCE_DIR
cd "$1/helm/pipeline-guard" || exit 2
if ! command -v helm >/dev/null; then
	echo "SKIPPED: no helm here" >&2
	exit 77
fi
status=0
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
HELM_CACHE_HOME=$work HELM_CONFIG_HOME=$work HELM_DATA_HOME=$work
export HELM_CACHE_HOME HELM_CONFIG_HOME HELM_DATA_HOME

wrong() {
	echo "$*" >&2
	status=1
}

redis=redis.existingSecret=guard-redis
token=github.token.existingSecret=guard-github
app=github.app.existingSecret=guard-app

helm lint --strict --quiet . --set "$redis" || status=1

# --- values as people write them: what, then the values ----------------------------------

# count N PATTERN NAME: lines of what was rendered last
count() {
	n=$(grep -cE -e "$2" "$work/out.yaml")
	[ "$n" = "$1" ] || wrong "$3: \"$2\" is there $n times instead of $1"
}

renders() {
	name=$1
	shift
	if ! helm template guard . --namespace ci "$@" >"$work/out.yaml" 2>"$work/err"; then
		wrong "$name: does not render: $(cat "$work/err")"
		return
	fi
	count 0 '^kind: Secret' "$name"
	pods=$(grep -cE '^kind: (Deployment|Pod)$' "$work/out.yaml")
	for must in 'readOnlyRootFilesystem: true' 'allowPrivilegeEscalation: false' \
		'drop: \[ALL\]' 'runAsNonRoot: true' 'type: RuntimeDefault' \
		'automountServiceAccountToken: false'; do
		[ "$(grep -cE -e "$must" "$work/out.yaml")" -ge "$pods" ] ||
			wrong "$name: not every pod has $must"
	done
	[ "$pods" = 3 ] || wrong "$name: $pods pods instead of receiver, dispatcher and test"
}

renders 'the least' --set redis.url=redis://redis:6379
count 0 'projected:' 'the least'
count 2 'kind: PodDisruptionBudget' 'the least'
count 2 'kind: NetworkPolicy' 'the least'

renders 'policy and audit' --set "$redis,$token,audit.existingSecret=a" --set policy.defaults.mode=suggest
count 1 'POLICY_FILE' 'policy and audit'
count 1 '^  policy.yaml: ' 'policy and audit'
count 2 'AUDIT_KEY_FILE' 'policy and audit'

renders 'a token' --set "$redis,$token" --set github.webhook.existingSecret=hook,admin.existingSecret=a
count 1 'GITHUB_TOKEN_FILE' 'a token'
count 1 'GITHUB_WEBHOOK_SECRET_FILE' 'a token'
count 2 'ADMIN_TOKEN_FILE' 'a token'
count 1 'name: hook$' 'a token'
count 2 'projected:' 'a token'

# Who holds what: a receiver no token, a dispatcher no webhook secret.
everything="$redis,$token,github.webhook.existingSecret=hook"
everything="$everything,gitlab.url=https://gitlab.example.com,gitlab.webhook.existingSecret=gl-hook"
everything="$everything,gitlab.signing.existingSecret=gl-sign,gitlab.token.existingSecret=gl-token"
everything="$everything,jenkins.url=https://ci.example.com/jenkins,jenkins.user=guard"
everything="$everything,jenkins.webhook.existingSecret=jk-hook,jenkins.token.existingSecret=jk-token"
renders 'three providers' --set "$everything"
# holds ROLE N VARIABLES SECRETS: these and no others
holds() {
	helm template guard . -s "templates/$1.yaml" --set "$everything" >"$work/out.yaml" ||
		wrong "three providers: $1 does not render"
	count "$2" "PIPELINE_GUARD_($3)_FILE" "three providers, $1"
	count "$2" 'PIPELINE_GUARD_.*_FILE' "three providers, $1"
	count "$2" "^ *name: ($4)\$" "three providers, $1"
	count "$2" 'path: [a-z_]*}' "three providers, $1"
}
holds receiver 4 'GITHUB_WEBHOOK_SECRET|GITLAB_WEBHOOK_TOKEN|GITLAB_SIGNING_TOKEN|JENKINS_WEBHOOK_TOKEN' \
	'hook|gl-hook|gl-sign|jk-hook'
count 0 'example.com' 'three providers, receiver'
holds dispatcher 3 '(GITHUB|GITLAB|JENKINS)_TOKEN' 'guard-github|gl-token|jk-token'
count 1 'value: "https://gitlab.example.com"' 'three providers, dispatcher'
count 1 'value: "https://ci.example.com/jenkins"' 'three providers, dispatcher'
count 1 'JENKINS_USER' 'three providers, dispatcher'

renders 'an App by number' --set "$redis,$app,github.app.id=123456789"
count 1 'value: "123456789"' 'an App by number'
renders 'an App by client id' --set "$redis,$app,github.app.id=Iv1.ab12"
count 1 'value: "Iv1.ab12"' 'an App by client id'

renders 'an ingress' --set "$redis,receiver.ingress.enabled=true,receiver.ingress.host=ci.example.com" \
	--set receiver.ingress.tlsSecret=tls,receiver.ingress.className=nginx
count 1 'path: /webhooks$' 'an ingress'
count 1 'secretName: tls' 'an ingress'

renders 'a configuration' --set "$redis,config.mode=observe,config.region=eu-1"
count 1 '^    mode: observe' 'a configuration'
grep 'checksum/config' "$work/out.yaml" >"$work/before"
renders 'another configuration' --set "$redis,config.mode=act,config.region=eu-1"
grep 'checksum/config' "$work/out.yaml" | cmp -s - "$work/before" &&
	wrong 'another configuration does not roll the pods'

renders 'closed networks' --set "$redis" \
	--set-json 'networkPolicy.webhooksFrom=[{"ipBlock":{"cidr":"192.0.2.0/24"}}]' \
	--set-json 'networkPolicy.adminFrom=[{"namespaceSelector":{"matchLabels":{"name":"ops"}}}]' \
	--set-json 'networkPolicy.redisTo=[{"podSelector":{"matchLabels":{"app":"redis"}}}]'
count 1 'cidr: 192.0.2.0/24' 'closed networks'
count 2 'name: ops' 'closed networks'
count 2 'app: redis' 'closed networks'

renders 'all switched off' --set "$redis,networkPolicy.enabled=false" \
	--set podDisruptionBudget.enabled=false,serviceAccount.create=false
count 0 'kind: (NetworkPolicy|PodDisruptionBudget|ServiceAccount)' 'all switched off'
count 2 'serviceAccountName: default' 'all switched off'

# --- wrong values: what the message must say, then the values -------------------------------

refuses() {
	say=$1
	shift
	if helm template guard . "$@" >/dev/null 2>"$work/err"; then
		wrong "is not refused: $*"
	elif ! grep -q -e "$say" "$work/err"; then
		wrong "is refused without \"$say\": $*: $(cat "$work/err")"
	fi
}

refuses 'redis.url or redis.existingSecret is required'
refuses 'redis.url' --set redis.url=http://redis
refuses 'redis.url' --set redis.url=rediss://redis:6379
refuses 'replicas' --set "$redis,receiver.replicas=0"
refuses 'replicas' --set "$redis" --set-string dispatcher.replicas=two
refuses 'replica' --set "$redis,receiver.replica=2"
refuses 'pullPolicy' --set "$redis,image.pullPolicy=Sometimes"
refuses 'exclude each other' --set "$redis,$token,$app,github.app.id=1"
refuses 'app.id is required' --set "$redis,$app"
refuses 'ingress.host is required' --set "$redis,receiver.ingress.enabled=true"
refuses 'config.github.token' --set "$redis,config.github.token=x"
refuses 'config.github.webhook_secret' --set "$redis,config.github.webhook_secret=x"
refuses 'jenkins.user' --set "$redis,jenkins.token.existingSecret=t,jenkins.url=https://ci"
refuses 'jenkins.url' --set "$redis,jenkins.token.existingSecret=t,jenkins.user=guard"
refuses 'gitlab.url' --set "$redis,gitlab.url=gitlab.example.com"
refuses 'config.gitlab.token' --set "$redis,config.gitlab.token=x"
refuses 'config.gitlab.signing_token' --set "$redis,config.gitlab.signing_token=x"
refuses 'config.jenkins.webhook_token' --set "$redis,config.jenkins.webhook_token=x"
refuses 'config.sources.farm.secret' --set "$redis,config.sources.farm.secret=x"
refuses 'propertyName\|config' --set "$redis" --set-json 'config={"jenkins.token":"x"}'
refuses 'config.admin_token' --set "$redis,config.admin_token=x"
refuses 'config.redis.url' --set "$redis,config.redis.url=redis://x"
refuses 'redisPort' --set "$redis,networkPolicy.redisPort=70000"

exit $status
