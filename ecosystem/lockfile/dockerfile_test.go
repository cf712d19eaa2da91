package lockfile_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign.dev/ecosystem/lockfile"
)

// ofHub is an image of Docker Hub as shown does it.
func ofHub(digit string) string {
	return "pkg:oci/alpine@sha256:" + sha256Of(digit) + "?repository_url=docker.io/library/alpine sha256:" + digit
}

func TestDockerfile(t *testing.T) {
	app := "pkg:oci/app@sha256:" + sha256Of("b") + "?repository_url=ghcr.io:5000/acme/app sha256:b\n"
	testReadings(t, "Dockerfile", []reading{
		{"stages", `# syntax=docker/dockerfile:1@sha256:256:a
# check=skip=all

ARG BASE=alpine@sha256:256:a
from --platform=$BUILDPLATFORM alpine:3.20@sha256:256:a AS Build
FROM build as second
FROM ghcr.io:5000/acme/app@sha256:256:b
COPY --from=BUILD /a /a
COPY --chown=1:1 --from=1 /a /a
COPY --from=7 /a /a
COPY --link --from=docker.io/alpine@sha256:256:c /a /a
RUN --mount=type=cache,target=/c --mount=type=bind,from=index.docker.io/library/alpine@sha256:256:d,target=/d true
RUN --mount=type=bind,from=second,target=/d true
ONBUILD COPY --from=alpine@sha256:256:e /a /a
FROM scratch
FROM ${BASE}
FROM ghcr.io/acme/app:$TAG
FROM nginx:1.27
FROM later
FROM second AS later
`, `
1 pkg:oci/dockerfile@sha256:` + sha256Of("a") + `?repository_url=docker.io/docker/dockerfile sha256:a
5 ` + ofHub("a") + `
7 ` + app + `10 docker.io/library/7 !no-digest
11 ` + ofHub("c") + `
12 ` + ofHub("d") + `
14 ` + ofHub("e") + `
16 ${BASE} !not-locked
17 ghcr.io/acme/app !not-locked
18 docker.io/library/nginx !no-digest
19 docker.io/library/later !no-digest
`},
		{"lines that are no instructions", `FROM \
  # a comment between

  alpine@sha256:256:a
RUN echo FROM nginx && \
FROM nginx
RUN <<EOF cat > "a b"
FROM nginx
	EOF
\
EOF
COPY <<-"END" <<X /a
FROM nginx
	END
FROM nginx
X
RUN cat <<<EOF && echo "<<EOF"
RUN echo 'a <<"EOF' > ${A}
RUN echo "it's"
FROM alpine@sha256:256:b
`, "1 " + ofHub("a") + "\n20 " + ofHub("b") + "\n"},
		{"escape by a backtick", "# escape=`\nFROM `\nalpine@sha256:256:a\nCOPY a C:\\\nFROM alpine@sha256:256:b\n", "2 " + ofHub("a") + "\n5 " + ofHub("b") + "\n"},
		{"directive behind a comment", "# a\n# escape=`\nFROM \\\nalpine@sha256:256:a\n", "3 " + ofHub("a") + "\n"},
		{"ends of lines of Windows", "FROM alpine@sha256:256:a\r\nRUN a \\\r\nFROM b\r\nRUN <<E\r\nFROM c\r\nE\r\n", "1 " + ofHub("a") + "\n"},
		{"quoted flag", "FROM alpine@sha256:256:a\nRUN --mount=type=bind,\"from=alpine@sha256:256:b\",target=\"/a\" true\n", "1 " + ofHub("a") + "\n2 " + ofHub("b") + "\n"},
		{"space that is none elsewhere", "FROM alpine@sha256:256:a\nRUN \u00a0--mount=from=nginx true\n", "1 " + ofHub("a") + "\n2 docker.io/library/nginx !no-digest\n"},
		{"names", `FROM Alpine@sha256:256:a
FROM acme/Tool@sha256:256:a
FROM registry-1.docker.io/library/alpine@sha256:256:a
FROM localhost/a@sha256:256:a
FROM alpine:@sha256:256:a
FROM alpine@sha512:512:a
FROM GHCR.IO/acme/app@sha256:256:a
`, `
1 docker.io/library/Alpine sha256:a !name
2 docker.io/acme/Tool sha256:a !name
3 registry-1.docker.io/library/alpine sha256:a !name
4 pkg:oci/a@sha256:` + sha256Of("a") + `?repository_url=localhost/a sha256:a
5 ` + ofHub("a") + ` !name
6 docker.io/library/alpine !no-digest
7 pkg:oci/app@sha256:` + sha256Of("a") + `?repository_url=ghcr.io/acme/app sha256:a
`},
	})
}

func TestDockerfileRefusals(t *testing.T) {
	from := func(more string) string { return "FROM alpine@sha256:256:a\n" + more + "\nFROM nginx\n" }
	testRefusals(t, "Containerfile", []refusal{
		{"short digest", "\nFROM alpine@sha256:abcd\n", "line 2: sha256 digest has 2 bytes, not 32"},
		{"digest that is none", "FROM alpine@latest\n", "line 1: digest algorithm"},
		{"quoted", "FROM \"alpine@sha256:256:a\"\n", "not hex"},
		{"two escapes at the end of a line", from(`RUN a \\`), "line 2: two \\ at the end"},
		{"no end of a here-document", from("RUN <<EOF"), "line 2: here-document EOF has no end"},
		{"here-document before an open quote", from(`RUN "x" <<EOF "y`), "beside [, <<< or an open quote"},
		{"here-document in brackets", from(`RUN ["cat", <<EOF ]`), "beside [, <<< or an open quote"},
		{"here-document and here-string", from(`RUN cat <<EOF <<<x`), "beside [, <<< or an open quote"},
		{"here-document behind a space", from(`RUN << EOF`), "\"<< EOF\": there may be a here-document or not"},
		{"shift", from(`RUN echo $((1 << 2))`), "\"<< 2))\": there may be"},
		{"here-document in a word", from(`RUN cat<<EOF`), "\"cat<<EOF\": there may be"},
		{"here-document of another word", from(`RUN <<E-F`), "\"<<E-F\": there may be"},
		{"here-document of a variable", from(`RUN <<$E`), "\"<<$E\": there may be"},
		{"here-document of half a quote", from(`RUN cat <<"EOF`), "there may be"},
		{"here-document beside a variable", from(`RUN cat ${A:-"} <<EOF`), "beside a variable"},
		{"here-document in a flag", from(`RUN --x=<<EOF a`), "backslashes and <<"},
		{"comment behind FROM", "FROM alpine # latest\n", "want FROM image [AS name]"},
		{"FROM alone", "FROM\n", "want FROM image"},
		{"unknown flag of FROM", "FROM --magic=1 alpine\n", "\"--magic=1\", which is not known"},
		{"unknown instruction", "FRON alpine\n", "line 1: \"FRON\" is no instruction"},
		{"before FROM", "RUN true\nFROM alpine\n", "RUN before the first FROM"},
		{"ONBUILD FROM", from("ONBUILD FROM alpine"), "is no instruction"},
		{"bad name of a stage", "FROM alpine AS 1\n", "is no name of a stage"},
		{"stage scratch", "FROM alpine AS scratch\n", "is no name of a stage"},
		{"escape by something else", "# escape=x\nFROM alpine\n", "directive escape"},
		{"escape behind a space", " # escape=`\nFROM alpine\n", "directive escape"},
		{"directive twice", "# syntax=a\n# syntax=b\nFROM alpine\n", "there twice"},
		{"flag with half a quote", from(`RUN --mount="type=bind, from=nginx" true`), "without quotes"},
		{"flag with a backslash", from(`COPY --fr\om=nginx a b`), "without quotes, backslashes"},
		{"no instruction in a continued line", "FROM alpine\n\\\n \\\n\n", "line 2"},
		{"nothing", "", "no FROM"},
		{"arguments only", "ARG A=1\n", "no FROM"},
		{"other text", "{\"a\": 1}\n", "is no instruction"},
	})
}

func TestDockerfileNames(t *testing.T) {
	const text = "FROM alpine@sha256:256:a\n"
	for _, name := range []string{"Dockerfile", "Containerfile", "web.Dockerfile", "web.dockerfile", "web.Containerfile", "Dockerfile.web"} {
		testReadings(t, name, []reading{{name, text, "1 " + ofHub("a") + "\n"}})
	}
	if _, err := lockfile.Read(folder(t, "Dockerfile.dockerignore", text)); err == nil || !strings.Contains(err.Error(), "not a lockfile by its name") {
		t.Errorf("what Docker ignores: %v", err)
	}
	for _, reference := range []string{"a b", strings.Repeat("a", 3000)} {
		testReadings(t, "compose.yaml", []reading{{"no name", "services: {a: {image: \"" + reference + "\"}}", "1 docker.io/library/" + reference + " !no-digest\n"}})
	}
}

// What could be something else is read if it is named, and not found.
func TestFindByKind(t *testing.T) {
	others := []string{"go.mod", "", "go.sum", "", "Dockerfile.web", "", "deployment.yaml", "", "compose.yaml", "", "web.Dockerfile", ""}
	dir := filepath.Dir(folder(t, "Dockerfile", "", others...))
	found, err := lockfile.Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"Dockerfile", "compose.yaml", "go.mod", "web.Dockerfile"}
	for i, name := range want {
		want[i] = filepath.Join(dir, name)
	}
	if !slices.Equal(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
}

// Work must not grow faster than the text.
func TestLargeTexts(t *testing.T) {
	var stages, words, tree strings.Builder
	for i := range 30_000 {
		fmt.Fprintf(&stages, "FROM a AS a%d\n", i)
		fmt.Fprintf(&words, " <<a%d", i)
	}
	for range 60 {
		tree.WriteString(`{"groupId":"a","artifactId":"b","version":"1","children":[`)
	}
	fmt.Fprintf(&tree, "%q", strings.Repeat("x", 1<<20))
	aliases := "x: &x {" + strings.Repeat("k: 1, ", 1) + "image: " + ofHub("a") + "}\n"
	for name, text := range map[string]string{
		"Dockerfile":    stages.String(),
		"a.Dockerfile":  "FROM a\nRUN" + words.String(),
		"lockfile.json": mavenLock(tree.String() + strings.Repeat("]}", 60)),
		"go.mod":        strings.Repeat("require (\n", 1<<17),
		"a.yaml":        "apiVersion: v1\nkind: Pod\n" + aliases + "containers: [" + strings.Repeat("*x,", 300_000) + "]\n",
	} {
		began := time.Now()
		if name == "go.mod" {
			if _, err := lockfile.ParseGo([]byte(text), nil); err == nil {
				t.Error("go.mod is read")
			}
		} else if f, err := lockfile.Parse(name, []byte(text)); err == nil {
			wellFormed(t, f)
		}
		if d := time.Since(began); d > time.Minute {
			t.Errorf("%s took %v", name, d)
		}
	}
}
