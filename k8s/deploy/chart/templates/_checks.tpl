{{/* Fails for values that contradict each other. What a setting may be is told by values.schema.json, and by `jobrelay check`. */}}
{{- define "jobrelay.check" -}}
{{- $given := include "jobrelay.data" . | fromJson }}
{{- $address := $given.JOBRELAY_HTTP_ADDRESS | default "127.0.0.1:8080" }}
{{- if or (not (hasSuffix ":8080" $address)) (regexMatch `^(127\.|localhost:|\[::1\])` $address) }}
{{- fail (printf "settings.JOBRELAY_HTTP_ADDRESS: 0.0.0.0:8080 or [::]:8080 expected, where probes and Prometheus ask, not %s" $address) }}
{{- end }}
{{- include "jobrelay.check.brokers" . }}
{{- include "jobrelay.check.jobs" . }}
{{- include "jobrelay.check.console" . }}
{{- end }}

{{- define "jobrelay.check.brokers" -}}
{{- $broker := .Values.broker }}
{{- $settings := .Values.settings }}
{{- $keda := .Values.keda }}
{{- if and $broker.natsCreds.enabled $settings.JOBRELAY_NATS_CREDS }}
{{- fail "settings.JOBRELAY_NATS_CREDS: broker.natsCreds names the file" }}
{{- end }}
{{- $sources := include "jobrelay.text" ($settings.JOBRELAY_SOURCES | default "") }}
{{- $kinds := dict "nats" (regexMatch `(?i)(^|,) *(nats|tls)://` $sources) "rabbitmq" (regexMatch `(?i)(^|,) *amqps?://` $sources) }}
{{- if and $sources (not (get $kinds $broker.kind)) }}
{{- fail (printf "broker.kind: %s, but settings.JOBRELAY_SOURCES names no such broker" $broker.kind) }}
{{- end }}
{{- if $keda.enabled }}
{{- if gt (int $keda.minReplicas) (int $keda.maxReplicas) }}
{{- fail "keda.minReplicas: no more than keda.maxReplicas expected" }}
{{- end }}
{{- if and (lt (int $keda.minReplicas) 1) $kinds.nats $kinds.rabbitmq }}
{{- fail (printf "keda.minReplicas: 1 or more expected, as settings.JOBRELAY_SOURCES names two brokers: KEDA only asks the one of broker.kind (%s)" $broker.kind) }}
{{- end }}
{{- if and (eq $broker.kind "rabbitmq") $sources (not $keda.rabbitmq.secret) }}
{{- fail "settings.JOBRELAY_SOURCES: KEDA cannot read it there: put it into the Secret of broker.secret, or name a Secret in keda.rabbitmq.secret" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "jobrelay.check.jobs" -}}
{{- $settings := .Values.settings }}
{{- if .Values.namespaces.bind }}
{{- if hasKey $settings "JOBRELAY_NAMESPACES" }}
{{- fail "settings.JOBRELAY_NAMESPACES: namespaces.bind says which" }}
{{- end }}
{{- if has .Release.Namespace .Values.namespaces.bind }}
{{- fail (printf "namespaces.bind: %s is the release's own namespace, which is always one of them" .Release.Namespace) }}
{{- end }}
{{- end }}
{{- if .Values.kueue.enabled }}
{{- if hasKey $settings "JOBRELAY_KUEUE_QUEUE" }}
{{- fail "settings.JOBRELAY_KUEUE_QUEUE: kueue.localQueue says which" }}
{{- end }}
{{- range $name := keys $settings | sortAlpha }}
{{- if and (regexMatch `^JOBRELAY_MAX_ACTIVE(_|$)` $name) (index $settings $name) }}
{{- fail (printf "kueue.enabled: does not go with settings.%s: Kueue decides when Jobs run" $name) }}
{{- end }}
{{- end }}
{{- if eq (include "jobrelay.text" ($settings.JOBRELAY_ADMISSION | default "auto")) "always" }}
{{- fail "kueue.enabled: does not go with settings.JOBRELAY_ADMISSION: always: Kueue decides when Jobs run" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "jobrelay.check.console" -}}
{{- $console := .Values.console }}
{{- $given := include "jobrelay.data" . | fromJson }}
{{- if and $console.enabled (eq $console.database "sqlite") }}
{{- $most := $given.JOBRELAY_HISTORY_MAX_BYTES | default "10737418240" }}
{{- if le (include "jobrelay.bytes" $console.storage.size | float64) ($most | float64) }}
{{- fail (printf "console.storage.size: more than settings.JOBRELAY_HISTORY_MAX_BYTES (%s) expected, not %s" $most $console.storage.size) }}
{{- end }}
{{- end }}
{{- range $part := list "ingress" "oauth2Proxy" }}
{{- if and (index $console $part).enabled (not $console.enabled) }}
{{- fail (printf "console.%s.enabled: needs console.enabled" $part) }}
{{- end }}
{{- end }}
{{- if $console.oauth2Proxy.enabled }}
{{- range $name := list "ADDRESS" "AUTH" "TRUSTED_PROXIES" "OPERATORS" "VIEWERS" }}
{{- if hasKey $given (printf "JOBRELAY_UI_%s" $name) }}
{{- fail (printf "settings.JOBRELAY_UI_%s: console.oauth2Proxy says that" $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- with $given.JOBRELAY_UI_ADDRESS }}
{{- if and $console.enabled (not (hasSuffix ":8081" .)) }}
{{- fail (printf "settings.JOBRELAY_UI_ADDRESS: port 8081 expected, which the Service leads to, not %s" .) }}
{{- end }}
{{- end }}
{{- end }}

{{/* A quantity such as 12Gi in bytes. */}}
{{- define "jobrelay.bytes" -}}
{{- $bytes := regexFind `^[0-9.]+` . | float64 }}
{{- $unit := regexFind `[a-zA-Z]*$` . }}
{{- range $power, $prefix := list "k" "M" "G" "T" "P" "E" }}
{{- if hasPrefix (lower $prefix) (lower $unit) }}
{{- range until (add1 $power | int) }}
{{- $bytes = mulf $bytes (ternary 1024 1000 (hasSuffix "i" $unit)) }}
{{- end }}
{{- end }}
{{- end -}}
{{ printf "%.0f" $bytes }}
{{- end }}
