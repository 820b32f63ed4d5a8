{{/* The name that all objects begin with. */}}
{{- define "mountctl.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 45 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 45 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 45 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What pods are chosen by; never changes. */}}
{{- define "mountctl.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "mountctl.labels" -}}
{{ include "mountctl.selector" . }}
app.kubernetes.io/part-of: mountctl
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.customLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "mountctl.image" -}}
{{- with .Values.image.containerRegistry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}

{{- define "mountctl.nodeServiceAccount" -}}
{{- default (printf "%s-node" (include "mountctl.fullname" .)) .Values.node.serviceAccount.name -}}
{{- end -}}

{{- define "mountctl.controllerServiceAccount" -}}
{{- default (printf "%s-controller" (include "mountctl.fullname" .)) .Values.controller.serviceAccount.name -}}
{{- end -}}

{{- define "mountctl.kubelet" -}}
{{- trimSuffix "/" .Values.node.kubeletPath -}}
{{- end -}}

{{/* Sockets, mounts and state of a node: the supervisor's runtime directory. */}}
{{- define "mountctl.plugin" -}}
{{- include "mountctl.kubelet" . }}/plugins/{{ .Values.driverName -}}
{{- end -}}

{{/* "true" or nothing. */}}
{{- define "mountctl.openshift" -}}
{{- if kindIs "invalid" .Values.isOpenShift -}}
{{- if .Capabilities.APIVersions.Has "security.openshift.io/v1" }}true{{ end -}}
{{- else if .Values.isOpenShift }}true{{ end -}}
{{- end -}}
