{{/*
A setting as a variable's text. YAML 1.1 reads on and off as booleans, and Helm every number as a float, which would
become 1.073741824e+10.
*/}}
{{- define "jobrelay.text" -}}
{{- if kindIs "bool" . -}}
{{ ternary "on" "off" . }}
{{- else if kindIs "slice" . -}}
{{- $texts := list }}
{{- range . }}{{ $texts = append $texts (include "jobrelay.text" .) }}{{ end -}}
{{ join "," $texts }}
{{- else if and (kindIs "float64" .) (eq . (floor .)) -}}
{{ printf "%.0f" . }}
{{- else -}}
{{ . }}
{{- end }}
{{- end }}

{{/* Of other variables, on and off are true and false. */}}
{{- define "jobrelay.variable" -}}
{{- if kindIs "bool" . -}}
{{ . }}
{{- else -}}
{{ include "jobrelay.text" . }}
{{- end }}
{{- end }}

{{/* What the ConfigMap holds, as JSON. What a part of the chart needs goes in where `settings` does not say otherwise. */}}
{{- define "jobrelay.data" -}}
{{- $parts := dict }}
{{- if eq .Values.broker.kind "nats" }}
{{- $_ := set $parts "JOBRELAY_SOURCES" "nats://nats.nats.svc:4222" }}
{{- end }}
{{- if .Values.broker.natsCreds.enabled }}
{{- $_ := set $parts "JOBRELAY_NATS_CREDS" "/etc/jobrelay/nats/nats.creds" }}
{{- end }}
{{- if .Values.broker.tls.enabled }}
{{- $_ := set $parts "JOBRELAY_TLS_CA" "/etc/jobrelay/tls/ca.crt" }}
{{- if .Values.broker.tls.clientCertificate }}
{{- $_ := set $parts "JOBRELAY_TLS_CERT" "/etc/jobrelay/tls/tls.crt" }}
{{- $_ := set $parts "JOBRELAY_TLS_KEY" "/etc/jobrelay/tls/tls.key" }}
{{- end }}
{{- end }}
{{- if .Values.kueue.enabled }}
{{- $_ := set $parts "JOBRELAY_KUEUE_QUEUE" .Values.kueue.localQueue }}
{{- end }}
{{- with .Values.namespaces.bind }}
{{- $_ := set $parts "JOBRELAY_NAMESPACES" (prepend . $.Release.Namespace) }}
{{- end }}
{{- range $name, $value := .Values.settings }}
{{- $_ := set $parts $name $value }}
{{- end }}
{{- $data := dict }}
{{- range $name, $value := $parts }}
{{- if not (kindIs "invalid" $value) }}
{{- $_ := set $data $name (include "jobrelay.text" $value) }}
{{- end }}
{{- end }}
{{- range $name, $value := .Values.env }}
{{- if not (kindIs "invalid" $value) }}
{{- $_ := set $data $name (include "jobrelay.variable" $value) }}
{{- end }}
{{- end }}
{{- toJson $data }}
{{- end }}

{{/* Its name ends in a hash of what it holds, the one that kustomize makes: changed settings roll the Deployments out. */}}
{{- define "jobrelay.settingsName" -}}
{{- $content := dict "kind" "ConfigMap" "name" "" "data" (include "jobrelay.data" . | fromJson) }}
{{- $hash := toJson $content | sha256sum | trunc 10 }}
{{- range $digit, $letter := dict "0" "g" "1" "h" "3" "k" "a" "m" "e" "t" }}
{{- $hash = replace $digit $letter $hash }}
{{- end -}}
jobrelay-settings-{{ $hash }}
{{- end }}

{{/* "true" where pods have to wait for the Secret of the broker: the settings name no address. */}}
{{- define "jobrelay.needsSecret" -}}
{{- if not (include "jobrelay.data" . | fromJson).JOBRELAY_SOURCES }}true{{ end }}
{{- end }}

{{/*
Names of other settings that ReplicaSets of this release still make pods with, as JSON: of those that a rollout has not
replaced yet, and that stay where the new ones never get ready. Helm would delete them at once. None without a cluster.
*/}}
{{- define "jobrelay.settingsInUse" -}}
{{- $current := include "jobrelay.settingsName" . }}
{{- $names := list }}
{{- range (lookup "apps/v1" "ReplicaSet" .Release.Namespace "").items }}
{{- if and (eq (dig "metadata" "labels" "app.kubernetes.io/part-of" "" .) "jobrelay") (gt (int .spec.replicas) 0) }}
{{- range (index .spec.template.spec.containers 0).envFrom }}
{{- $name := dig "configMapRef" "name" "" . }}
{{- if and (hasPrefix "jobrelay-settings-" $name) (ne $name $current) (lookup "v1" "ConfigMap" $.Release.Namespace $name) }}
{{- $names = append $names $name }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- $names | uniq | sortAlpha | toJson }}
{{- end }}
