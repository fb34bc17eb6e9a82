{{/* The prefix of all names: the release's name, with "dagway" if it does not contain that. */}}
{{- define "dagway.fullname" -}}
{{- $name := .Release.Name -}}
{{- if not (contains "dagway" $name) }}{{ $name = printf "%s-dagway" $name }}{{ end -}}
{{- trunc 40 $name | trimSuffix "-" -}}
{{- end }}

{{/* What selects the pods of a component. Call with a dict: root, component, pool (of a worker). */}}
{{- define "dagway.selector" -}}
app.kubernetes.io/name: dagway
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- with .pool }}
dagway/pool: {{ .name | quote }}
{{- end }}
{{- end }}

{{- define "dagway.labels" -}}
{{ include "dagway.selector" . }}
app.kubernetes.io/part-of: dagway
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The name of a component's objects. */}}
{{- define "dagway.name" -}}
{{- include "dagway.fullname" .root }}-{{ .component }}
{{- if and .pool (ne .pool.name "default") }}-{{ .pool.name }}{{ end }}
{{- end }}

{{/* The name of a component's Secret. */}}
{{- define "dagway.secret" -}}
{{- if .pool }}{{ default (include "dagway.name" .) .pool.secret }}
{{- else }}{{ default (include "dagway.name" .) (get .root.Values.secrets .component) }}
{{- end }}
{{- end }}

{{/* A variable from the component's Secret. Call with a dict as above, and: variable, key. */}}
{{- define "dagway.fromSecret" -}}
- name: {{ .variable }}
  valueFrom: {secretKeyRef: {name: {{ include "dagway.secret" . }}, key: {{ .key }}{{ if .optional }}, optional: true{{ end }}}}
{{- end }}

{{- define "dagway.image" -}}
{{- $image := .root.Values.image -}}
{{- $repository := ternary $image.workerRepository $image.repository (eq .component "worker") -}}
{{- with $image.registry }}{{ . }}/{{ end }}{{ $repository }}:{{ default .root.Chart.AppVersion $image.tag -}}
{{- end }}

{{/* The settings of all services. */}}
{{- define "dagway.settings" -}}
{{- $fixed := dict "DAGWAY_METRICS_PORT" "9000" -}}
{{- range $name, $value := merge $fixed .Values.settings (dict "DAGWAY_HOST" "0.0.0.0") }}
{{- /* Numbers of a values file are floats, which print as 1e+06. */}}
{{ $name }}: {{ ternary (toJson $value) (toString $value) (kindIs "float64" $value) | quote }}
{{- end }}
{{- end }}

{{/* Annotations and labels of a pod. */}}
{{- define "dagway.podMetadata" -}}
labels:
  {{- include "dagway.labels" . | nindent 2 }}
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  # A changed setting restarts the pods.
  dagway/settings: {{ include "dagway.settings" .root | sha256sum | trunc 16 | quote }}
  {{- with .values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* What all pods have in common. Call with a dict: root, component, values, pool. */}}
{{- define "dagway.pod" -}}
serviceAccountName: {{ include "dagway.fullname" .root }}-{{ .component }}
# The token of the cluster: for the one component that calls the cluster's API.
automountServiceAccountToken: {{ eq .component "deletion-costs" }}
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Prefers different nodes and zones for the replicas. */}}
{{- define "dagway.spread" -}}
topologySpreadConstraints:
{{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: {{ $.root.Values.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels: {{- include "dagway.selector" $ | nindent 8 }}
    {{- if not (and $.pool $.pool.persistence.enabled) }}
    matchLabelKeys: [pod-template-hash]
    {{- end }}
{{- end }}
{{- end }}

{{/* The pod security standard "restricted". */}}
{{- define "dagway.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  {{- if .Values.fixedUser }}
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  {{- end }}
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "dagway.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* Probes. The dict also has: port; startup, liveness and readiness, each [period, timeout, failures] in seconds. */}}
{{- define "dagway.probes" -}}
{{- range $kind := list "startup" "liveness" "readiness" }}
{{ $kind }}Probe:
  httpGet: {path: {{ ternary "/readyz" "/healthz" (eq $kind "readiness") }}, port: {{ $.port }}}
  {{- $times := get $ $kind }}
  periodSeconds: {{ index $times 0 }}
  timeoutSeconds: {{ index $times 1 }}
  failureThreshold: {{ index $times 2 }}
{{- end }}
{{- end }}

{{- define "dagway.disruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "dagway.name" . }}
  labels: {{- include "dagway.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  # A pod that is not ready serves nobody: it does not keep its node from being drained.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "dagway.selector" . | nindent 6 }}
{{- end }}

{{/* All worker pools, each with its defaults, as JSON. */}}
{{- define "dagway.pools" -}}
{{- $pools := list -}}
{{- $names := list -}}
{{- range .Values.workerPools -}}
{{- if has .name $names }}{{ fail (printf "workerPools: two pools have the name %q" .name) }}{{ end -}}
{{- $names = append $names .name -}}
{{- $pools = append $pools (include "dagway.overridden" (dict "default" $.Values.workerDefaults "given" .) | fromJson) -}}
{{- end -}}
{{- dict "pools" $pools | toJson -}}
{{- end }}

{{/* Not empty if there is a pool whose pods an autoscaler removes in the order of their deletion costs. */}}
{{- define "dagway.deletionCosts" -}}
{{- if .Values.deletionCosts.enabled -}}
{{- range (include "dagway.pools" . | fromJson).pools -}}
{{- /* A StatefulSet removes the pod with the highest number, whatever it costs. */ -}}
{{- if and (ne .autoscaling.kind "none") (not .persistence.enabled) }}yes{{ end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* How much memory each process of a step may have, as DAGWAY_STEP_MAX_MEMORY; empty for no limit. Call with a pool. */}}
{{- define "dagway.stepMaxMemory" -}}
{{- if .resources.limits.memory -}}
{{- $mebibytes := include "dagway.mebibytes" .resources.limits.memory | int64 -}}
{{- $given := .stepMaxMemory -}}
{{- if eq $given "auto" }}{{ $given = ternary "none" (printf "%dMi" (div (mul $mebibytes 3) 4)) (gt (int .gpu.count) 0) }}{{ end -}}
{{- if ne $given "none" -}}
{{- $most := include "dagway.mebibytes" $given | int64 -}}
{{- if ge $most $mebibytes }}{{ fail (printf "workerPools: stepMaxMemory of %q is not below its memory limit" .name) }}{{ end -}}
{{- printf "%dMi" $most -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Refuses volumes that may take more than the pod may: Kubernetes evicts it, though each is within its size. Call with a pool. */}}
{{- define "dagway.checkDisk" -}}
{{- with get .resources.limits "ephemeral-storage" -}}
{{- $volumes := ternary (list $.tmpSize) (list $.dataSize $.tmpSize) $.persistence.enabled -}}
{{- $room := include "dagway.mebibytes" . | int64 -}}
{{- range $volumes }}{{ $room = sub $room (include "dagway.mebibytes" . | int64) }}{{ end -}}
{{- if lt $room 0 }}{{ fail (printf "workerPools: %s of %q take more than its limit of ephemeral-storage, %v" (ternary "tmpSize" "dataSize and tmpSize" $.persistence.enabled) $.name .) }}{{ end -}}
{{- end -}}
{{- end }}

{{/* A quantity of memory or disk in mebibytes, rounded down. */}}
{{- define "dagway.mebibytes" -}}
{{- $text := ternary . (int64 . | toString) (kindIs "string" .) -}}
{{- $number := regexFind "^[0-9.]+" $text | float64 -}}
{{- $unit := trimPrefix (regexFind "^[0-9.]+" $text) $text -}}
{{- $bytes := get (dict "" 1.0 "m" 0.001 "k" 1e3 "Ki" 1024.0 "M" 1e6 "Mi" 1048576.0 "G" 1e9 "Gi" 1073741824.0 "T" 1e12 "Ti" 1099511627776.0) $unit -}}
{{- divf (mulf $number $bytes) 1048576.0 | floor | int64 -}}
{{- end }}

{{/* A map over its default, as JSON. Unlike Sprig's merge it takes false, 0 and empty for given values. */}}
{{- define "dagway.overridden" -}}
{{- $result := deepCopy .default -}}
{{- range $key, $value := .given -}}
{{- if and (kindIs "map" $value) (kindIs "map" (get $result $key)) -}}
{{- $value = include "dagway.overridden" (dict "default" (get $result $key) "given" $value) | fromJson -}}
{{- end -}}
{{- $_ := set $result $key $value -}}
{{- end -}}
{{- toJson $result -}}
{{- end }}

{{/* The volume with the authorities of the servers' certificates, and its mount; empty without any. */}}
{{- define "dagway.authoritiesVolume" -}}
{{- with .Values.certificateAuthorities }}
{{- if .configMap }}
- name: ca
  configMap: {name: {{ .configMap }}}
{{- else if .secret }}
- name: ca
  secret: {secretName: {{ .secret }}}
{{- end }}
{{- end }}
{{- end }}

{{- define "dagway.authoritiesMount" -}}
{{- with .Values.certificateAuthorities }}
{{- if or .configMap .secret }}
- {name: ca, mountPath: /etc/dagway/ca, readOnly: true}
{{- end }}
{{- end }}
{{- end }}

{{/* The URL of the documentation. */}}
{{- define "dagway.docsUrl" -}}
{{- $base := get .Values.settings "DAGWAY_BASE_PATH" | default "" }}
{{- with .Values.prometheusRule.docsUrl }}{{ trimSuffix "/" . }}
{{- else }}
{{- if and (eq .Values.login.mode "oidc") .Values.login.oidc.clientUrl }}{{ trimSuffix "/" .Values.login.oidc.clientUrl }}/docs
{{- else if .Values.ingress.enabled }}https://{{ .Values.ingress.host }}{{ $base }}/docs
{{- else if and .Values.httpRoute.enabled .Values.httpRoute.hostnames }}https://{{ first .Values.httpRoute.hostnames }}{{ $base }}/docs
{{- else }}http://127.0.0.1:8080{{ $base }}/docs
{{- end }}
{{- end }}
{{- end }}

{{/* The name of this installation among those that one Prometheus scrapes. */}}
{{- define "dagway.site" -}}
{{- default (printf "%s/%s" .Release.Namespace .Release.Name) .Values.serviceMonitor.site -}}
{{- end }}

{{/* A query of Dagway's series, limited to those of this installation. Call with a dict: root, expr. */}}
{{- define "dagway.ofSite" -}}
{{- $site := include "dagway.site" .root | printf "site=%q" -}}
{{- $series := `\b(dag(?:way|u)[_:][a-z0-9_:]+|up|ALERTS)` -}}
{{- $selected := regexReplaceAll (printf `%s\{` $series) .expr (printf "${1}{%s," $site) -}}
{{- regexReplaceAll `\b(dag(?:way|u)[_:][a-z0-9_:]+)([^{a-z0-9_:]|$)` $selected (printf "${1}{%s}${2}" $site) -}}
{{- end }}

{{/* A dashboard of this installation, beside those of others in one Grafana. Call with a dict: root, text. */}}
{{- define "dagway.dashboardOfSite" -}}
{{- $root := .root -}}
{{- $site := include "dagway.site" $root -}}
{{- $dashboard := fromJson .text -}}
{{- range $panel := $dashboard.panels }}
{{- range $target := $panel.targets }}
{{- $_ := set $target "expr" (include "dagway.ofSite" (dict "root" $root "expr" $target.expr)) }}
{{- end }}
{{- end }}
{{- range $variable := $dashboard.templating.list }}
{{- $_ := set $variable "query" (include "dagway.ofSite" (dict "root" $root "expr" $variable.query)) }}
{{- end }}
{{- $_ := set $dashboard "uid" (printf "%s-%s" $dashboard.uid (sha256sum $site | trunc 8)) -}}
{{- $_ := set $dashboard "title" (printf "%s (%s)" $dashboard.title $site) -}}
{{- toPrettyJson $dashboard -}}
{{- end }}
