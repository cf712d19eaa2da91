package lockfile_test

import (
	"reflect"
	"testing"

	"countersign.dev/ecosystem/lockfile"
)

// fuzzTexts is fuzz with texts to begin with in place of examples.
func fuzzTexts(f *testing.F, base string, texts ...string) {
	for _, text := range texts {
		f.Add([]byte(digests(text)))
	}
	fuzz(f, base)
}

func FuzzCargoLock(f *testing.F) {
	const a = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+x\"\n"
	fuzzTexts(f, "Cargo.lock", "version = 4\n"+a+"checksum = \"256:a\"\n", a+"[metadata]\n\"checksum a 1.0.0 (registry+x)\" = \"256:a\"\n")
}

func FuzzMixLock(f *testing.F) {
	fuzzTexts(f, "mix.lock", "%{\n\"a\": "+phoenix+",\n}\n", `%{"a": {:git, "u", nil, true, -5, :"q", [x: %{"k" => 1, k: {}}, "y": "\"}"]}, b: {:hex, :b, "1.0.0"}} # x`)
}

func FuzzNuGetLock(f *testing.F) {
	fuzzTexts(f, "packages.lock.json", `{"version":1,"dependencies":{"net8.0":{"A.B":{"type":"Direct","resolved":"1.0.0","contentHash":"`+hash("a")+`"},"c":{"type":"Project"}}}}`)
}

func FuzzGradle(f *testing.F) {
	fuzzTexts(f, "verification-metadata.xml", artifact(`<sha256 value="256:a"><also-trust value="256:b"/></sha256><sha512 value="512:c"/>`),
		gradleHead+`<configuration><verify-signatures>true</verify-signatures><trusted-keys><trusted-key id="a"/></trusted-keys></configuration></verification-metadata>`)
}

func FuzzMavenLock(f *testing.F) {
	fuzzTexts(f, "lockfile.json", mavenLock(mavenDependency), mavenLock(`{"groupId":"a","artifactId":"b","version":"1","type":"war","children":[],"parentPom":{"relativePath":"x","parent":null},"boms":null}`))
}

func FuzzDockerfile(f *testing.F) {
	fuzzTexts(f, "Dockerfile", "# syntax=a/b:1\n# escape=`\nFROM --platform=x alpine@sha256:256:a AS b\nFROM b\nCOPY --from=0 a b\nRUN --mount=type=bind,from=c `\n <<E\nx\nE\n",
		"ARG A\nFROM $A\nRUN <<-\"E\" cat 'a b'\n\tE\nONBUILD COPY --from=d e f\n")
}

func FuzzCompose(f *testing.F) {
	fuzzTexts(f, "compose.yaml", "x: &x {image: alpine@sha256:256:a}\nservices:\n  a: {<<: [*x], build: {dockerfile_inline: FROM b}, volumes: [{type: image, source: c}], extends: {file: d}}\n")
}

func FuzzKubernetes(f *testing.F) {
	fuzzTexts(f, "pod.yaml", "apiVersion: v1\nkind: Pod\nx: &c {image: alpine@sha256:256:a}\nspec:\n  containers: [*c, {<<: *c, name: b}]\n  volumes: [{image: {reference: d}}]\n---\n")
}

func FuzzGo(f *testing.F) {
	f.Add([]byte("module m\ngo 1.16\nrequire a.example/a v1.2.0\nexclude a.example/a v1.3.0\nreplace a.example/a => ../a\n"), []byte(sums(goSumOfAll)))
	f.Add([]byte("module m\ngo 1.26.4\nrequire a.example/a v1.2.0\nreplace a.example/a => fork.example/a v1.0.0\n"), []byte(sums(goSumOfAll)))
	f.Fuzz(func(t *testing.T, mod, sum []byte) {
		file, err := lockfile.ParseGo(mod, sum)
		if err != nil {
			return
		}
		wellFormed(t, file)
		if again, err := lockfile.ParseGo(mod, sum); err != nil || !reflect.DeepEqual(file, again) {
			t.Fatalf("read again: %v, %v", again, err)
		}
	})
}
