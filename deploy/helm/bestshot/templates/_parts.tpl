{{- /* Labels of an object: bestshot.labels (list $ NAME) */}}
{{- define "bestshot.labels" -}}
app.kubernetes.io/name: {{ index . 1 }}
app.kubernetes.io/part-of: bestshot
{{- end }}

{{- /* The image of a component: bestshot.image (list $ COMPONENT) */}}
{{- define "bestshot.image" -}}
{{- $ := index . 0 }}{{ $component := index . 1 }}
{{- $onGpu := and $.Values.gpu.enabled (has $component (list "embedding" "quality" "face" "siamese")) }}
{{- with $.Values.images.registry }}{{ . }}/{{ end }}bestshot-{{ $component }}:
{{- $.Values.images.tag | default $.Chart.AppVersion }}{{ if $onGpu }}-cuda{{ end }}
{{- end }}

{{- /* What all pods share; they run as an unprivileged user, on a read-only file system. */}}
{{- define "bestshot.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: 30
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "bestshot.container" -}}
envFrom:
  - configMapRef:
      name: settings
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- /* The probes of a gRPC server: bestshot.probes (list $ PORT SERVICE) */}}
{{- define "bestshot.probes" -}}
{{- $ := index . 0 }}{{ $port := index . 1 }}{{ $service := index . 2 }}
{{- if $.Values.tls.enabled }}
{{- /* the kubelet's gRPC probes do not support TLS, but the probe in the image does */}}
startupProbe:
  exec: { command: [/bin/sh, -c, exec python -P -m services.common.rpc.probe "$COMPONENT"] }
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 24
readinessProbe:
  exec: { command: [/bin/sh, -c, exec python -P -m services.common.rpc.probe "$COMPONENT"] }
  periodSeconds: 15
  timeoutSeconds: 5
livenessProbe:
  tcpSocket: { port: grpc }
  periodSeconds: 10
  failureThreshold: 6
{{- else }}
startupProbe:
  grpc: { port: {{ $port }}, service: {{ $service }} }
  periodSeconds: 2
  failureThreshold: 60
readinessProbe:
  grpc: { port: {{ $port }}, service: {{ $service }} }
  periodSeconds: 5
livenessProbe:
  grpc: { port: {{ $port }} }
  periodSeconds: 10
  failureThreshold: 6
{{- end }}
{{- end }}

{{- define "bestshot.args" -}}
args:
{{- if not .Values.tls.enabled }}
  - --insecure
{{- end }}
{{- if .Values.gpu.enabled }}
  - --profile=pretrained
{{- end }}
{{- if and .Values.tls.enabled (not .Values.gpu.enabled) }} []
{{- end }}
{{- end }}

{{- define "bestshot.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        app.kubernetes.io/name: {{ . }}
{{- end }}

{{- /* A service account, and a disruption budget: bestshot.account (list $ OBJECT COMPONENT) */}}
{{- define "bestshot.account" -}}
{{- $ := index . 0 }}{{ $name := index . 1 }}{{ $component := index . 2 }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "bestshot.labels" (list $ $component) | nindent 4 }}
automountServiceAccountToken: false
{{- if $.Values.scaling.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "bestshot.labels" (list $ $component) | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      app.kubernetes.io/name: {{ $component }}
{{- end }}
{{- end }}

{{- /* A claim that the chart creates: bestshot.claim (list $ NAME MODE STORAGE) */}}
{{- define "bestshot.claim" -}}
{{- $ := index . 0 }}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ index . 1 }}
  namespace: {{ $.Release.Namespace }}
  labels:
    app.kubernetes.io/part-of: bestshot
spec:
  accessModes: [{{ index . 2 }}]
  {{- with $.Values.storageClassName }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests:
      storage: {{ index . 3 }}
{{- end }}
