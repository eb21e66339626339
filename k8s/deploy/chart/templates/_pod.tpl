{{/*
What the Deployments have in common. Each takes the root and the role: `include "jobrelay.pod" (list . "handler")`.
*/}}
{{- define "jobrelay.podMetadata" -}}
{{- $values := index (index . 0).Values (index . 1) -}}
labels:
  {{- with omit $values.podLabels "app.kubernetes.io/name" "app.kubernetes.io/component" "app.kubernetes.io/part-of" }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- include "jobrelay.labels" (index . 1) | nindent 2 }}
  app.kubernetes.io/part-of: jobrelay
{{- with $values.podAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "jobrelay.pod" -}}
{{- $root := index . 0 }}
{{- $role := index . 1 }}
{{- $values := index $root.Values $role -}}
serviceAccountName: jobrelay-{{ $role }}
automountServiceAccountToken: true
enableServiceLinks: false
terminationGracePeriodSeconds: {{ include "jobrelay.graceSeconds" $root }}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . | quote }}
{{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  {{- if eq $role "console" }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  seccompProfile: {type: RuntimeDefault}
topologySpreadConstraints:
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "jobrelay.labels" $role | nindent 6 }}
{{- range $field := list "nodeSelector" "tolerations" "affinity" "priorityClassName" }}
{{- with index $values $field }}
{{ $field }}: {{- if kindIs "string" . }} {{ . | quote }}{{ else }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end }}
{{- end }}
{{- end }}

{{/* What is in flight is finished, then the connections are closed: 45 s, unless JOBRELAY_DRAIN_SECONDS asks for more. */}}
{{- define "jobrelay.graceSeconds" -}}
{{- $settings := .Values.settings }}
{{- $drain := $settings.JOBRELAY_DRAIN_SECONDS | default 20 | float64 }}
{{- $publish := $settings.JOBRELAY_BROKER_TIMEOUT | default 5 | float64 -}}
{{ max 45 (ceil (addf $drain $publish $publish 15) | int) }}
{{- end }}

{{/* The container `jobrelay`, without its name, variables and ports. */}}
{{- define "jobrelay.container" -}}
{{- $root := index . 0 }}
{{- $values := index $root.Values (index . 1) -}}
image: {{ include "jobrelay.image" . | quote }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
startupProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
resources: {{- toYaml $values.resources | nindent 2 }}
securityContext: {{- include "jobrelay.restricted" . | nindent 2 }}
{{- end }}

{{- define "jobrelay.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Settings, then what goes over them: the Secret of the broker, made by you, as its URLs carry passwords. */}}
{{- define "jobrelay.envFrom" -}}
{{- $root := index . 0 -}}
- configMapRef: {name: {{ include "jobrelay.settingsName" $root }}}
- secretRef: {name: {{ $root.Values.broker.secret | quote }}, optional: {{ empty (include "jobrelay.needsSecret" $root) }}}
{{- with (index $root.Values (index . 1)).extraEnvFrom }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Files of the broker: "" without any. */}}
{{- define "jobrelay.mounts" -}}
{{- $root := index . 0 }}
{{- if $root.Values.broker.natsCreds.enabled }}
- {name: nats-creds, mountPath: /etc/jobrelay/nats, readOnly: true}
{{- end }}
{{- if $root.Values.broker.tls.enabled }}
- {name: broker-tls, mountPath: /etc/jobrelay/tls, readOnly: true}
{{- end }}
{{- with (index $root.Values (index . 1)).extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "jobrelay.volumes" -}}
{{- $root := index . 0 }}
{{- with $root.Values.broker.natsCreds }}
{{- if .enabled }}
- name: nats-creds
  secret: {secretName: {{ .secret | quote }}, defaultMode: 0440}
{{- end }}
{{- end }}
{{- with $root.Values.broker.tls }}
{{- if .enabled }}
- name: broker-tls
  secret: {secretName: {{ .secret | quote }}, defaultMode: 0440}
{{- end }}
{{- end }}
{{- with (index $root.Values (index . 1)).extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
