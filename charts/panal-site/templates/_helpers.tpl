{{- define "site.labels" -}}
{{ include "site.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "site.selector" -}}
app.kubernetes.io/name: panal-site
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "site.image" -}}
{{- $name := .Values.images.controller -}}
{{- $image := ternary $name (printf "%s/%s" (trimSuffix "/" .Values.images.registry) $name) (empty .Values.images.registry) -}}
{{- if contains "@" $name }}{{ $image }}{{ else }}{{ $image }}:{{ .Values.images.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* CEL: whether the request is the owner's. */ -}}
{{- define "site.owner" -}}
(request.userInfo.?groups.orValue([]).exists(g, g in [{{ range $i, $g := .Values.owners.groups }}{{ if $i }}, {{ end }}'{{ $g }}'{{ end }}]) || request.userInfo.username in [{{ range $i, $u := .Values.owners.users }}{{ if $i }}, {{ end }}'{{ $u }}'{{ end }}])
{{- end }}

{{- define "site.controller" -}}
request.userInfo.username == 'system:serviceaccount:{{ .Release.Namespace }}:panal-site-controller'
{{- end }}

{{- /* The namespace of collaborators, in matchConstraints. */ -}}
{{- define "site.there" -}}
namespaceSelector:
  matchLabels:
    kubernetes.io/metadata.name: panal-collaborator
{{- end }}

{{- /* Arguments: the root, and a policy's name. */ -}}
{{- define "site.binding" -}}
{{- $root := index . 0 -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ index . 1 }}
  labels:
    {{- include "site.labels" $root | nindent 4 }}
spec:
  policyName: {{ index . 1 }}
  validationActions: [Deny]
{{- end }}
