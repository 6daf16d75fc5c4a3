{{- define "guard.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "guard.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "guard.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "guard.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "guard.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "guard.image" -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}

{{/* Arguments: a list of the root context and the component. */}}
{{- define "guard.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "guard.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "guard.labels" -}}
{{- $root := index . 0 -}}
{{ include "guard.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "guard.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "guard.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Environment of every role. */}}
{{- define "guard.commonEnv" -}}
- name: PIPELINE_GUARD_REDIS_URL
{{- if .Values.redis.existingSecret }}
  valueFrom:
    secretKeyRef:
      name: {{ .Values.redis.existingSecret }}
      key: {{ .Values.redis.existingSecretKey }}
{{- else }}
  value: {{ required "redis.url or redis.existingSecret is required: this chart uses a Redis that you run, with appendonly on" .Values.redis.url | quote }}
{{- end }}
{{- end -}}

{{/*
Secret files of a role, one table for the environment and the volume: a list of variable (without
its prefix), file, and the value that names the Secret. Receivers get no token and dispatchers no
webhook secret.
*/}}
{{- define "guard.secretFiles" -}}
{{- $root := index . 0 -}}
{{- $v := $root.Values -}}
{{- $files := list -}}
{{- if eq (index . 1) "receiver" -}}
{{- $files = list
  (list "GITHUB_WEBHOOK_SECRET_FILE" "github_webhook_secret" $v.github.webhook)
  (list "GITLAB_WEBHOOK_TOKEN_FILE" "gitlab_webhook_token" $v.gitlab.webhook)
  (list "GITLAB_SIGNING_TOKEN_FILE" "gitlab_signing_token" $v.gitlab.signing)
  (list "JENKINS_WEBHOOK_TOKEN_FILE" "jenkins_webhook_token" $v.jenkins.webhook) -}}
{{- else -}}
{{- $files = list
  (list "GITHUB_TOKEN_FILE" "github_token" $v.github.token)
  (list "GITHUB_APP_KEY_FILE" "github_app_key.pem" $v.github.app)
  (list "GITLAB_TOKEN_FILE" "gitlab_token" $v.gitlab.token)
  (list "JENKINS_TOKEN_FILE" "jenkins_token" $v.jenkins.token) -}}
{{- end -}}
{{- $files = concat $files (list
  (list "ADMIN_TOKEN_FILE" "admin_token" $v.admin)
  (list "AUDIT_KEY_FILE" "audit_key" $v.audit)
  (list "APPROVE_KEY_FILE" "approve_key" $v.approve)) -}}
{{- $named := list -}}
{{- range $files -}}
{{- if (index . 2).existingSecret -}}
{{- $named = append $named (dict "variable" (index . 0) "file" (index . 1) "secret" (index . 2).existingSecret "key" (index . 2).key) -}}
{{- end -}}
{{- end -}}
{{- toJson $named -}}
{{- end -}}

{{- define "guard.secretEnv" -}}
{{- range include "guard.secretFiles" . | fromJsonArray }}
- name: PIPELINE_GUARD_{{ .variable }}
  value: /run/secrets/guard/{{ .file }}
{{- end }}
{{- end -}}

{{- define "guard.secretVolume" -}}
{{- with include "guard.secretFiles" . | fromJsonArray }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range . }}
      - secret:
          name: {{ .secret }}
          items:
            - {key: {{ .key }}, path: {{ .file }}}
      {{- end }}
{{- end }}
{{- end -}}

{{- define "guard.scheduling" -}}
{{- $root := index . 0 -}}
{{- $role := index . 1 -}}
{{- $values := index $root.Values $role -}}
serviceAccountName: {{ include "guard.serviceAccount" $root }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ $root.Values.terminationGracePeriodSeconds }}
securityContext:
  {{- include "guard.podSecurity" $root | nindent 2 }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "guard.selector" . | nindent 8 }}
{{- end -}}
