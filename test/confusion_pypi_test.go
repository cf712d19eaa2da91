package test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pip looks at every index it is given and takes the highest version: one --extra-index-url is the whole attack.
func TestConfusionPyPI(t *testing.T) {
	s := openShop(t)
	s.pypi(s.acme, "acme-widget", map[string]string{"1.0.0": "ours", "1.1.0": "ours"})
	for _, version := range []string{"1.0.0", "1.1.0"} {
		name := "acme_widget-" + version + "-py3-none-any.whl"
		s.countersigned(s.artifact(s.acme["/files/"+name], name))
	}
	s.pypi(s.public, "acme-widget", map[string]string{"9.9.9": "theirs"})
	resolve := func(name string, indexes ...string) string {
		folder := s.project(name, map[string]string{"requirements.in": "acme-widget>=1\n"})
		args := append([]string{"-m", "pip", "--isolated", "--disable-pip-version-check", "install", "--no-cache-dir", "--dry-run", "--ignore-installed",
			"--quiet", "--report", "report.json", "-r", "requirements.in"}, indexes...)
		s.client(folder, nil, "python3", args...)
		s.lock(folder)
		return folder
	}
	honest := resolve("pypi-honest", "--index-url", s.acmeURL+"/simple/")
	s.locked(honest, "requirements.txt", "acme-widget==1.1.0 ")
	s.passes(honest)
	attacked := resolve("pypi-attacked", "--index-url", s.acmeURL+"/simple/", "--extra-index-url", s.publicURL+"/simple/")
	s.locked(attacked, "requirements.txt", "acme-widget==9.9.9 ")
	s.refusesProject(attacked, "not-countersigned", "confusion", "acme-widget", "9.9.9")

	// A pull request adds the stranger's file as one more that is good enough.
	theirs := s.acmeWheel("acme-widget", "1.1.0", "theirs")
	line := s.readAt(honest, "requirements.txt")
	extra := s.project("pypi-extra-hash", map[string]string{"requirements.txt": strings.TrimSpace(line) + " --hash=sha256:" + sha256Hex(theirs) + "\n"})
	s.refusesProject(extra, "artifact-digest-mismatch", "acme-widget")
}

// lock writes what pip resolved as requirements with hashes.
func (s *shop) lock(folder string) {
	var report struct {
		Install []struct {
			Metadata struct{ Name, Version string }
			Download struct {
				URL     string
				Archive struct{ Hash string } `json:"archive_info"`
			} `json:"download_info"`
		}
	}
	must(s.t, json.Unmarshal([]byte(s.readAt(folder, "report.json")), &report))
	var lines string
	for _, i := range report.Install {
		lines += fmt.Sprintf("%s==%s --hash=%s\n", i.Metadata.Name, i.Metadata.Version, strings.Replace(i.Download.Archive.Hash, "=", ":", 1))
	}
	must(s.t, os.WriteFile(filepath.Join(folder, "requirements.txt"), []byte(lines), 0o600))
}

func (s *shop) readAt(folder, name string) string {
	data, err := os.ReadFile(filepath.Join(folder, name))
	must(s.t, err)
	return string(data)
}

func (s *shop) pypi(on shelf, name string, versions map[string]string) {
	var page strings.Builder
	page.WriteString("<!DOCTYPE html><html><body>\n")
	for _, version := range slices.Sorted(maps.Keys(versions)) {
		file := strings.ReplaceAll(name, "-", "_") + "-" + version + "-py3-none-any.whl"
		data := s.acmeWheel(name, version, versions[version])
		on["/files/"+file] = data
		fmt.Fprintf(&page, "<a href=\"/files/%s#sha256=%s\">%s</a>\n", file, sha256Hex(data), file)
	}
	page.WriteString("</body></html>\n")
	on["/simple/"+name+"/"] = []byte(page.String())
}

func (s *shop) acmeWheel(name, version, content string) []byte {
	under := strings.ReplaceAll(name, "-", "_")
	info := under + "-" + version + ".dist-info/"
	files := map[string]string{
		under + ".py":     "# " + content + "\n",
		info + "METADATA": "Metadata-Version: 2.1\nName: " + name + "\nVersion: " + version + "\n",
		info + "WHEEL":    "Wheel-Version: 1.0\nGenerator: countersign-test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
	}
	var record string
	for _, path := range slices.Sorted(maps.Keys(files)) {
		sum := sha256.Sum256([]byte(files[path]))
		record += fmt.Sprintf("%s,sha256=%s,%d\n", path, base64.RawURLEncoding.EncodeToString(sum[:]), len(files[path]))
	}
	files[info+"RECORD"] = record + info + "RECORD,,\n"
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, path := range slices.Sorted(maps.Keys(files)) {
		w, err := z.Create(path)
		must(s.t, err)
		_, err = w.Write([]byte(files[path]))
		must(s.t, err)
	}
	must(s.t, z.Close())
	return b.Bytes()
}
