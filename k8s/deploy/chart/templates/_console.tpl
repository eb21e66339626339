{{/* Variables of the console alone; what the settings name is theirs, such as JOBRELAY_UI_AUTH=proxy. */}}
{{- define "jobrelay.consoleEnv" -}}
{{- $given := include "jobrelay.data" . | fromJson }}
{{- $proxy := .Values.console.oauth2Proxy }}
{{- $own := dict "JOBRELAY_UI_ADDRESS" "0.0.0.0:8081" "JOBRELAY_UI_AUTH" "token" }}
{{- if $proxy.enabled }}
{{- $own = dict "JOBRELAY_UI_ADDRESS" "127.0.0.1:8081" "JOBRELAY_UI_AUTH" "proxy" "JOBRELAY_UI_TRUSTED_PROXIES" "127.0.0.1" }}
{{- $_ := set $own "JOBRELAY_UI_OPERATORS" (include "jobrelay.text" $proxy.operators) }}
{{- $_ := set $own "JOBRELAY_UI_VIEWERS" (include "jobrelay.text" $proxy.viewers) }}
{{- end }}
{{- range $name := keys $given }}
{{- $own = omit $own $name }}
{{- end }}
{{- if eq ($given.JOBRELAY_UI_AUTH | default $own.JOBRELAY_UI_AUTH) "token" }}
{{- $_ := set $own "JOBRELAY_UI_TOKEN_FILE" "/etc/jobrelay/page/token" }}
{{- end }}
{{- $_ := set $own "JOBRELAY_UI_SECRET_FILE" "/etc/jobrelay/page/key" }}
{{- if eq .Values.console.database "sqlite" }}
{{- $_ := set $own "JOBRELAY_HISTORY" "sqlite:///var/lib/jobrelay/history.db" }}
{{- /* For what SQLite sorts: there is no other directory that can be written to. */}}
{{- $_ := set $own "SQLITE_TMPDIR" "/var/lib/jobrelay" }}
{{- end }}
{{- range $name, $value := $own }}
- {name: {{ $name }}, value: {{ $value | toJson }}}
{{- end }}
{{- end }}

{{/* Runs beside the console and is all that others reach; the page listens on loopback and believes nobody else. */}}
{{- define "jobrelay.oauth2Proxy" -}}
{{- $proxy := .Values.console.oauth2Proxy -}}
- name: oauth2-proxy
  image: {{ $proxy.image | quote }}
  args:
  - --http-address=0.0.0.0:4180
  - --upstream=http://127.0.0.1:8081
  - --provider=oidc
  - --scope=openid email profile groups
  - --email-domain=*
  - --code-challenge-method=S256
  - --reverse-proxy=true
  - --skip-provider-button=true
  {{- with $proxy.extraArgs }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  envFrom:
  - secretRef: {name: {{ $proxy.secret | quote }}}
  ports:
  - {name: page, containerPort: 4180}
  readinessProbe:
    httpGet: {path: /ping, port: page}
    periodSeconds: 5
  resources: {{- toYaml $proxy.resources | nindent 4 }}
  securityContext: {{- include "jobrelay.restricted" . | nindent 4 }}
{{- end }}
