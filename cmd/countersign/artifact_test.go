package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// artifactCommands make package files: KIND FILE NAME VERSION [TEXT], where TEXT makes the content another.
func artifactCommands() map[string]func(*testscript.TestScript, bool, []string) {
	commands := make(map[string]func(*testscript.TestScript, bool, []string))
	for kind, content := range map[string]func(name, version, text string) []byte{
		"npm": npmPackage, "gomodule": goModule, "wheel": pythonWheel, "sdist": pythonSdist,
	} {
		commands[kind] = func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) < 3 {
				ts.Fatalf("usage: %s FILE NAME VERSION [TEXT]", kind)
			}
			text := strings.Join(args[3:], " ")
			ts.Check(os.WriteFile(ts.MkAbs(args[0]), content(args[1], args[2], text), 0o644))
		}
	}
	return commands
}

func npmPackage(name, version, text string) []byte {
	return tarball("package/package.json", fmt.Sprintf(`{"name":%q,"version":%q,"description":%q}`, name, version, text), "package/index.js", "// "+text)
}

func pythonSdist(name, version, text string) []byte {
	top := name + "-" + version + "/"
	return tarball(top+"PKG-INFO", metadata(name, version), top+"setup.cfg", "# "+text)
}

func pythonWheel(name, version, text string) []byte {
	return zipped(name+"-"+version+".dist-info/METADATA", metadata(name, version), name+".py", "# "+text)
}

func goModule(name, version, text string) []byte {
	top := name + "@" + version + "/"
	return zipped(top+"go.mod", "module "+name+"\n", top+"m.go", "package m // "+text+"\n")
}

func metadata(name, version string) string {
	return "Metadata-Version: 2.1\nName: " + name + "\nVersion: " + version + "\n"
}

// tarball makes a .tgz of names and contents.
func tarball(pairs ...string) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for i := 0; i < len(pairs); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: pairs[i], Mode: 0o644, Size: int64(len(pairs[i+1]))}); err != nil {
			panic(err)
		}
		must(w.Write([]byte(pairs[i+1])))
	}
	for _, c := range []interface{ Close() error }{w, z} {
		if err := c.Close(); err != nil {
			panic(err)
		}
	}
	return out.Bytes()
}

func zipped(pairs ...string) []byte {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for i := 0; i < len(pairs); i += 2 {
		must(must(w.Create(pairs[i])).Write([]byte(pairs[i+1])))
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}
