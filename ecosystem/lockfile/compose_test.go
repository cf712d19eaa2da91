package lockfile_test

import (
	"strings"
	"testing"
)

func TestCompose(t *testing.T) {
	testReadings(t, "docker-compose.prod.yml", []reading{
		{"services", `x-common: &common
  image: alpine@sha256:256:a
  restart: always
include: [other.yaml]
services:
  web: &web
    <<: *common
  db:
    <<: [*web, {image: nginx}]
    image: alpine@sha256:256:b
  both:
    build: ./both
    image: ghcr.io/acme/both
  folder:
    build:
      context: ./folder
  inline:
    build:
      context: .
      dockerfile_inline: |
        FROM alpine@sha256:256:c
        FROM nginx
  mounts:
    image: "alpine:${TAG:-3}@sha256:256:d"
    volumes:
      - /a:/a
      - {type: bind, source: /b, target: /b}
      - {type: image, source: "alpine@sha256:256:e", target: /c}
  alias: *web
  extended:
    extends: {file: base.yaml, service: web}
  own:
    extends: {service: web}
  short:
    extends: web
  null: null
`, `
2 ` + ofHub("a") + `
10 ` + ofHub("b") + `
13 ghcr.io/acme/both !no-digest
12 ./both !path
16 ./folder !path
21 ` + ofHub("c") + `
22 docker.io/library/nginx !no-digest
24 docker.io/library/alpine !not-locked
28 ` + ofHub("e") + `
2 ` + ofHub("a") + `
31 base.yaml !path
4 another file !path
`},
		{"merged lists", "services:\n  a:\n    <<: [{restart: no}, {image: alpine@sha256:256:a}]\n", "3 " + ofHub("a") + "\n"},
		{"two documents", "services: {a: {image: alpine@sha256:256:a}}\n---\nservices: {a: {image: alpine@sha256:256:b}}\n", "1 " + ofHub("a") + "\n3 " + ofHub("b") + "\n"},
		{"services without an image", "services: {a: {command: x}, b: 5}\n", ""},
	})
}

func TestComposeRefusals(t *testing.T) {
	testRefusals(t, "compose.yaml", []refusal{
		{"short digest", "services:\n  a:\n    image: alpine@sha256:abcd\n", "line 3: sha256 digest has 2 bytes"},
		{"image that is no text", "services: {a: {image: 5}}\n", "line 1: image: want text"},
		{"image that is a list", "services: {a: {image: [alpine]}}\n", "image: want text"},
		{"no image", "services: {a: {image: }}\n", "image: want text"},
		{"key twice", "services:\n  a: {image: alpine}\n  a: {image: nginx}\n", "line 3"},
		{"merged services", "x: &x {a: {image: nginx}}\nservices:\n  <<: *x\n", "line 3: a merge key in services"},
		{"inline Dockerfile that is none", "services:\n  a:\n    build:\n      dockerfile_inline: |\n        FROM alpine\n        NONE\n", "line 6: \"NONE\" is no instruction"},
		{"inline Dockerfile that is no text", "services: {a: {build: {dockerfile_inline: []}}}\n", "want text"},
		{"volume without a source", "services: {a: {volumes: [{type: image}]}}\n", "line 1: a volume of type image without a source"},
		{"no services", "version: \"3\"\n", "not a compose file"},
		{"no mapping", "- a\n", "not a compose file"},
		{"no YAML", "services: [", "line 1"},
		{"nothing", "", "not a compose file"},
		{"itself", "services: {a: &a {<<: *a}}\n", ""},
		{"aliases of aliases", bomb("services: {a: {<<: *h}}"), "aliases written out"},
	})
}

// bomb is YAML in which an alias, h, stands for very many values.
func bomb(end string) string {
	text := "x0: &a [" + strings.Repeat("{type: image, source: a},", 9) + "]\n"
	for i := range 7 {
		alias := "*" + string(rune('a'+i))
		text += "x" + alias[1:] + ": &" + string(rune('b'+i)) + " [" + strings.Repeat(alias+",", 60) + "]\n"
	}
	return text + end + "\n"
}

func TestKubernetes(t *testing.T) {
	testReadings(t, "deployment.yaml", []reading{
		{"objects", `---
apiVersion: v1
kind: Pod
spec:
  containers:
    - name: a
      image: alpine@sha256:256:a
    - name: b
      image: registry.k8s.io/pause:3.9
    - name: patch
  initContainers: [{image: alpine@sha256:256:b}]
  ephemeralContainers: [{image: alpine@sha256:256:c}]
  volumes:
    - name: data
      image: {reference: "alpine@sha256:256:d", pullPolicy: Always}
    - name: empty
      emptyDir: {}
---
# nothing
---
apiVersion: v1
kind: List
items:
  - apiVersion: apps/v1
    kind: Deployment
    spec: {template: {spec: {containers: [{image: "alpine@sha256:256:e"}]}}}
---
apiVersion: v1
kind: ConfigMap
data: {image: nginx, a: "containers: [{image: nginx}]"}
`, `
7 ` + ofHub("a") + `
9 registry.k8s.io/pause !no-digest
11 ` + ofHub("b") + `
12 ` + ofHub("c") + `
15 ` + ofHub("d") + `
26 ` + ofHub("e") + `
`},
		{"anchors", "apiVersion: v1\nkind: Pod\nx: &c {image: alpine@sha256:256:a}\nspec:\n  containers: [*c, {<<: *c, name: b}]\n", "3 " + ofHub("a") + "\n"},
		{"JSON", `{"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"image": "alpine@sha256:256:a"}]}}`, "1 " + ofHub("a") + "\n"},
	})
	testRefusals(t, "deployment.yml", []refusal{
		{"other YAML", "a: 1\n", "line 1: it has no apiVersion or kind"},
		{"no apiVersion", "kind: Pod\n", "line 1: it has no apiVersion or kind"},
		{"other YAML behind an object", "apiVersion: v1\nkind: Pod\n---\ncontainers: [{image: nginx}]\n", "line 4: it has no apiVersion or kind"},
		{"short digest", "apiVersion: v1\nkind: Pod\ncontainers: [{image: alpine@sha256:abcd}]\n", "line 3: sha256 digest has 2 bytes"},
		{"image that is no text", "apiVersion: v1\nkind: Pod\ncontainers: [{image: [a]}]\n", "line 3: image: want text"},
		{"template", "apiVersion: v1\nkind: Pod\nname: {{ .Values.name }}\n", ""},
		{"nothing", "", "no Kubernetes objects"},
		{"itself", "apiVersion: v1\nkind: Pod\nspec: &a {b: *a}\n", "nested deeper"},
		{"aliases of aliases", bomb("apiVersion: v1\nkind: Pod\nspec: *h"), "aliases written out"},
	})
}
