{{/* git-sync as a sidecar: /git/current is a link to the checkout of the newest commit. The pod's other container starts
     after the first checkout. */}}
{{- define "dagway.gitSync" -}}
{{- with .Values.dags.gitSync -}}
- name: git-sync
  image: {{ .image.repository }}:{{ .image.tag }}
  imagePullPolicy: {{ $.Values.image.pullPolicy }}
  # A sidecar, of Kubernetes 1.29 and newer.
  restartPolicy: Always
  args:
    - --repo={{ .repo }}
    - --ref={{ .ref }}
    - --root=/git
    - --link=current
    - --period={{ .interval }}
    # Then the container ends and is started again, which shows in the pod.
    - --max-failures=10
    - --http-bind=:9001
    {{- if and .secret (hasPrefix "https://" .repo) }}
    - --username={{ .username }}
    - --password-file=/etc/git-secret/password
    {{- else if .secret }}
    - --ssh-key-file=/etc/git-secret/ssh-privatekey
    - --ssh-known-hosts-file=/etc/git-secret/known_hosts
    {{- end }}
  env:
    - name: HOME
      value: /tmp
    {{- with .env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  # It answers after the first checkout.
  startupProbe:
    httpGet: {path: /, port: 9001}
    periodSeconds: 5
    timeoutSeconds: 2
    failureThreshold: 60
  livenessProbe:
    httpGet: {path: /, port: 9001}
    periodSeconds: 15
    timeoutSeconds: 5
    failureThreshold: 4
  resources: {{- toYaml .resources | nindent 4 }}
  securityContext:
    {{- if $.Values.fixedUser }}
    # The user that its image has a name for, which ssh asks for.
    runAsUser: 65533
    runAsGroup: 65533
    {{- end }}
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities: {drop: [ALL]}
  volumeMounts:
    - {name: git, mountPath: /git}
    - {name: git-tmp, mountPath: /tmp}
    {{- if .secret }}
    - {name: git-secret, mountPath: /etc/git-secret, readOnly: true}
    {{- end }}
    {{- with include "dagway.authoritiesMount" $ | trim }}
    {{- . | nindent 4 }}
    {{- end }}
{{- end }}
{{- end }}

{{- define "dagway.gitVolumes" -}}
{{- with .Values.dags.gitSync -}}
- name: git
  emptyDir: {sizeLimit: {{ .size }}}
- name: git-tmp
  emptyDir: {sizeLimit: 64Mi}
{{- with .secret }}
- name: git-secret
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- end }}
{{- end }}
