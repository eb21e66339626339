{{/*
Exactly the verbs that each role uses, for its Role and, with namespaces.enabled, its ClusterRole. Why it needs each of
them is said in base/roles.yaml.
*/}}
{{- define "jobrelay.rules.handler" -}}
- apiGroups: [batch]
  resources: [jobs]
  verbs: [create, get, patch]
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [create, get]
- apiGroups: [""]
  resources: [secrets]
  verbs: [create, get, delete]
{{- end }}

{{- define "jobrelay.rules.controller" -}}
- apiGroups: [batch]
  resources: [jobs]
  verbs: [list, watch, patch, get, create, delete]
- apiGroups: [""]
  resources: [secrets]
  verbs: [create, get, delete]
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [list, watch, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, deletecollection]
- apiGroups: [""]
  resources: [events]
  verbs: [list]
- apiGroups: [metrics.k8s.io]
  resources: [pods]
  verbs: [list]
{{- if .Values.podLogs.enabled }}
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
{{- end }}
{{- end }}

{{- define "jobrelay.rules.console" -}}
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get]
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [list]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
{{- end }}

{{/* The role's account gets a Role or ClusterRole: (dict "root" . "role" "handler" "kind" "Role" "name" … "namespace" …) */}}
{{- define "jobrelay.binding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: jobrelay-{{ .name | default .role }}
  namespace: {{ .namespace | default .root.Release.Namespace | quote }}
  labels: {{- include "jobrelay.labels" .role | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind | default "Role" }}
  name: jobrelay-{{ .name | default .role }}
subjects:
- {kind: ServiceAccount, name: jobrelay-{{ .role }}, namespace: {{ .root.Release.Namespace | quote }}}
{{- end }}
