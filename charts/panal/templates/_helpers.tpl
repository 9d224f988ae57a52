{{- define "panal.labels" -}}
app.kubernetes.io/name: panal
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "panal.selector" -}}
app.kubernetes.io/name: panal
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* Not the controller's, whose Service and Deployment must not select the dashboard's Pod. */ -}}
{{- define "panal.dashboardSelector" -}}
app.kubernetes.io/name: panal-dashboard
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "panal.dashboardLabels" -}}
{{ include "panal.dashboardSelector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- /* Arguments: the root, and an image's name. */ -}}
{{- define "panal.image" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $image := ternary $name (printf "%s/%s" (trimSuffix "/" $root.Values.images.registry) $name) (empty $root.Values.images.registry) -}}
{{- if contains "@" $name }}{{ $image }}{{ else }}{{ $image }}:{{ $root.Values.images.tag | default $root.Chart.AppVersion }}{{ end }}
{{- end }}
