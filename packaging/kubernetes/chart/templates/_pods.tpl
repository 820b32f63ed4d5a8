{{/* Where the two pods of a node run. */}}
{{- define "mountctl.nodePlacement" -}}
priorityClassName: system-node-critical
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
nodeSelector:
  kubernetes.io/os: linux
  {{- with .Values.node.nodeSelector }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.node.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .Values.node.tolerateAllTaints }}
tolerations:
  - operator: Exists
{{- else }}
tolerations:
  - key: {{ .Values.driverName }}/agent-not-ready
    operator: Exists
  {{- if .Values.node.defaultTolerations }}
  - key: CriticalAddonsOnly
    operator: Exists
  - operator: Exists
    effect: NoExecute
    tolerationSeconds: 300
  {{- end }}
  {{- with .Values.node.tolerations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "mountctl.seLinuxOptions" -}}
{{- if include "mountctl.openshift" . -}}
seLinuxOptions:
  type: spc_t
{{- else if .Values.node.seLinuxOptions -}}
seLinuxOptions:
  {{- toYaml .Values.node.seLinuxOptions | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Keys of AWS as files: key_id, access_key, session_token, whatever they are called in the Secret. */}}
{{- define "mountctl.awsSecretVolume" -}}
- name: aws-secret
  secret:
    secretName: {{ .Values.awsAccessSecret.name }}
    optional: true
    defaultMode: 0400
    items:
      - key: {{ .Values.awsAccessSecret.keyId }}
        path: key_id
      - key: {{ .Values.awsAccessSecret.accessKey }}
        path: access_key
      - key: {{ .Values.awsAccessSecret.sessionToken }}
        path: session_token
{{- end -}}
