package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"countersign.dev/attest"
	"countersign.dev/provenance"
)

// recordedFrom is where documents of a real emulator lie: RECORD_EVIDENCE=$PWD/testdata/evidence go test -run
// 'TestEvidence$' countersign.dev/tpm makes them.
var recordedFrom = must(filepath.Abs("testdata/evidence"))

// recorded puts them beside the script.
func recorded(_ *scene, ts *testscript.TestScript, _ []string) {
	files, err := filepath.Glob(recordedFrom + "/*")
	ts.Check(err)
	if len(files) == 0 {
		ts.Fatalf("there is nothing in %s", recordedFrom)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		ts.Check(err)
		write(ts, filepath.Base(file), data)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	ts.Check(err)
	write(ts, "auditor.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(private))}))
	evidence := []byte(ts.ReadFile("evidence.json"))
	key := must(attest.Parse(evidence)).Claims.Fingerprint
	nameEvidence(ts, "identity.json", provenance.KeyEvidence{Key: key, Digest: attest.Digest([]byte("an older one"))}, provenance.KeyEvidence{Key: key, Digest: attest.Digest(evidence)})
	nameEvidence(ts, "other-identity.json", provenance.KeyEvidence{Key: key, Digest: attest.Digest(nil)})
	nameEvidence(ts, "bare-identity.json")
}

// nameEvidence writes an identity.
func nameEvidence(ts *testscript.TestScript, name string, evidence ...provenance.KeyEvidence) {
	var keys []provenance.PublicKey
	var root ed25519.PrivateKey
	for range 3 {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		ts.Check(err)
		keys, root = append(keys, must(provenance.NewPublicKey(public))), private
	}
	now := time.Now()
	id := must(provenance.Identity{
		Registry: "registry.example", Version: 1, Namespaces: []provenance.Namespace{must(provenance.ParseNamespace("pkg:npm/@acme/*"))},
		Root:     provenance.Root{Threshold: 1, Keys: keys[2:]},
		Logs:     []provenance.Log{{Origin: "registry.example/countersign/1", Threshold: 1, Keys: []provenance.LogKey{{PublicKey: keys[0]}}}},
		Enrol:    []provenance.EnrolKey{{PublicKey: keys[1]}},
		Excluded: []provenance.Exclusion{}, Evidence: evidence, Issued: now, Expires: now.Add(time.Hour),
	}.Sign(root))
	write(ts, name, provenance.EncodeEnvelopes([]*provenance.Envelope{id.Envelope}))
}
