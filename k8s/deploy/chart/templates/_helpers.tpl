{{/* Labels of what belongs to a role, and what its pods are selected by: `include "jobrelay.labels" "handler"`. */}}
{{- define "jobrelay.labels" -}}
app.kubernetes.io/name: jobrelay
app.kubernetes.io/component: {{ . }}
{{- end }}

{{/* Labels of what belongs to all roles. */}}
{{- define "jobrelay.common" -}}
app.kubernetes.io/name: jobrelay
{{- end }}

{{/* `repository@digest`, else `repository:tag`; the role's own goes first: `include "jobrelay.image" (list . "handler")`. */}}
{{- define "jobrelay.image" -}}
{{- $root := index . 0 }}
{{- $image := $root.Values.image }}
{{- $version := (index $root.Values (index . 1)).image | default dict }}
{{- if not (or $version.digest $version.tag) }}
{{- $version = $image }}
{{- end }}
{{- if $version.digest -}}
{{ $image.repository }}@{{ $version.digest }}
{{- else -}}
{{ $image.repository }}:{{ $version.tag | default $root.Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* Name of the installation: of its Lease, and what names of streams and queues begin with. */}}
{{- define "jobrelay.instance" -}}
{{ .Values.settings.JOBRELAY_INSTANCE | default "jobrelay" }}
{{- end }}

{{- define "jobrelay.serviceAccount" -}}
{{- $root := index . 0 }}
{{- $role := index . 1 -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: jobrelay-{{ $role }}
  namespace: {{ $root.Release.Namespace | quote }}
  labels: {{- include "jobrelay.labels" $role | nindent 4 }}
  {{- with (index $root.Values $role).serviceAccount.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}

{{/*
A node can always be drained: of several pods that are more than a convenience one stays, and a single one may go.
`include "jobrelay.budget" (dict "root" . "role" "controller" "keepsOne" true)`
*/}}
{{- define "jobrelay.budget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: jobrelay-{{ .role }}
  namespace: {{ .root.Release.Namespace | quote }}
  labels: {{- include "jobrelay.labels" .role | nindent 4 }}
spec:
  {{- if .keepsOne }}
  minAvailable: 1
  {{- else }}
  maxUnavailable: 1
  {{- end }}
  # One that is not Ready (its broker is down) does nothing that a drain of its node could interrupt.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "jobrelay.labels" .role | nindent 6 }}
{{- end }}
