package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/ecosystem"
	"countersign.dev/provenance"
)

// binaries is where TestMain puts the program under test.
var binaries string

// TestMain builds the program as it is released: one static binary without cgo.
func TestMain(m *testing.M) {
	os.Exit(withBinary(m))
}

func withBinary(m *testing.M) int {
	var err error
	if binaries, err = os.MkdirTemp("", "countersign"); err != nil {
		panic(err)
	}
	defer os.RemoveAll(binaries)
	args := []string{"build", "-o", filepath.Join(binaries, "countersign"), "."}
	if os.Getenv("GOCOVERDIR") != "" {
		args = []string{"build", "-cover", "-o", filepath.Join(binaries, "countersign"), "."}
	}
	build := exec.Command("go", args...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// scene is what a script plays with.
type scene struct {
	registry *registry
	listener *signingListener
	office   *adminListener
}

func TestScripts(t *testing.T) {
	commands := artifactCommands()
	for name, run := range map[string]func(*scene, *testscript.TestScript, []string){
		"found":    found,
		"fault":    fault,
		"requests": requests,
		"office":   startOffice,
		"strip":    strip,
		"forge":    forge,
		"withdraw": withdraw,
		"vouch":    vouch,
		"history":  history,
		"rotate":   rotate,
		"exclude":  exclude,
		"examples": examples,
		"retire":   retire,
		"publish":  publish,
		"picky":    picky,
		"lines":    lines,
		"mirror":   mirror,

		"recorded": recorded,
		"listen":   listen,
		"lock":     lock,
		"sarif":    sarifHolds,
		"hostile":  hostile,
		"stated":   stated,

		"checkproof": checkProof,
	} {
		commands[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			if neg {
				ts.Fatalf("%s cannot be negated", name)
			}
			run(ts.Value("scene").(*scene), ts, args)
		}
	}
	commands["status"] = status
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Values["scene"] = new(scene)
			env.Setenv("PATH", binaries+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("BIN", binaries)
			env.Setenv("GOCOVERDIR", os.Getenv("GOCOVERDIR"))
			return nil
		},
		Cmds:                commands,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// status runs a command that must end with a status: status N COMMAND ARGUMENT…
func status(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := err.(*exec.ExitError); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if neg || strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit status %d, want %s", got, args[0])
	}
}

func write(ts *testscript.TestScript, name string, data []byte) {
	ts.Check(os.WriteFile(ts.MkAbs(name), data, 0o644))
}

// found makes the registry and its signing listener, and the files that its people have.
func found(s *scene, ts *testscript.TestScript, _ []string) {
	s.registry = newRegistry("registry.example", time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour))
	s.listener = newListener(s.registry)
	ts.Defer(s.listener.Close)
	ts.Setenv("URL", s.listener.URL)
	ts.Setenv("SERVICE", "--server "+s.listener.URL+" --registry registry.example --cert client.crt --key client.key --ca ca.crt")
	write(ts, "ca.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.listener.Certificate().Raw}))
	cert, key := certificate()
	write(ts, "client.crt", cert)
	write(ts, "client.key", key)
	s.publish(ts)
}

// publish writes what the registry gives to consumers and to its officer.
func (s *scene) publish(ts *testscript.TestScript) {
	write(ts, "identity.json", append(provenance.EncodeEnvelopes(s.registry.chain()), '\n'))
	write(ts, "officer.key", privatePEM(s.registry.officer))
	write(ts, "pins.toml", fmt.Appendf(nil, "version = 1\n[[pin]]\nnamespace = \"pkg:npm/@acme/*\"\nregistry = %q\nidentity = %q\n"+
		"[[pin]]\nnamespace = \"pkg:npm/tiny\"\nregistry = %[1]q\nidentity = %[2]q\nmode = \"report\"\n"+
		"[[pin]]\nnamespace = \"pkg:pypi/*\"\nregistry = %[1]q\nidentity = %[2]q\n"+
		"[[pin]]\nnamespace = \"pkg:golang/*\"\nregistry = %[1]q\nidentity = %[2]q\n"+
		"[[pin]]\nnamespace = \"pkg:maven/*\"\nregistry = %[1]q\nidentity = %[2]q\nrequire = \"registry\"\n",
		s.registry.name, s.registry.fingerprint()))
	ts.Setenv("IDENTITY", s.registry.fingerprint())
}

func privatePEM(key ed25519.PrivateKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))})
}

// fault says what is wrong with the next requests: fault KIND…, or fault to forget what is left over
func fault(s *scene, ts *testscript.TestScript, args []string) {
	s.listener.mu.Lock()
	defer s.listener.mu.Unlock()
	if len(s.listener.faults) > 0 && len(args) > 0 {
		ts.Fatalf("faults are left over: %q", s.listener.faults)
	}
	s.listener.faults = args
}

// requests checks how many requests came since it was asked last, and that they had the same bytes:
// requests N|any [same]
func requests(s *scene, ts *testscript.TestScript, args []string) {
	s.listener.mu.Lock()
	defer s.listener.mu.Unlock()
	all := s.listener.requests
	s.listener.requests = nil
	if args[0] != "any" && strconv.Itoa(len(all)) != args[0] {
		ts.Fatalf("%d requests, want %s", len(all), args[0])
	}
	for _, r := range all {
		if len(args) > 1 && !bytes.Equal(r.body, all[0].body) {
			ts.Fatalf("the requests differ:\n%s\n%s", all[0].body, r.body)
		}
	}
}

// strip takes parts out of a bundle: strip BUNDLE OUT enrolment|identity…
func strip(_ *scene, ts *testscript.TestScript, args []string) {
	b := must(provenance.ParseBundle([]byte(ts.ReadFile(args[0]))))
	for _, part := range args[2:] {
		switch part {
		case "enrolment":
			b.Enrolment = nil
		case "identity":
			b.Identity = nil
		default:
			ts.Fatalf("no part %s", part)
		}
	}
	write(ts, args[1], b.JSON())
}

// forge signs an enrolment certificate with another key: forge FILE OUT
func forge(_ *scene, ts *testscript.TestScript, args []string) {
	c := must(provenance.ParseEnrolment(must(provenance.ParseEnvelope([]byte(ts.ReadFile(args[0]))))))
	write(ts, args[1], must(c.Sign(testKey("forger"))).Envelope.JSON())
}

// withdraw writes the log entry of a withdrawal: withdraw ARTIFACT PURL OUT
func withdraw(s *scene, ts *testscript.TestScript, args []string) {
	digests, _, err := ecosystem.Digests(ts.MkAbs(args[0]), "")
	ts.Check(err)
	w := provenance.Withdrawal{Claim: s.registry.claim(must(provenance.ParseCoordinate(args[1])), time.Now()),
		Subject: provenance.Subject{Name: "file", Digest: digests}, Reason: "malware"}
	write(ts, args[2], must(w.Statement()))
}

// checkProof verifies what show --proof and show --statement export by golang.org/x/mod alone: checkproof BUNDLE
func checkProof(_ *scene, ts *testscript.TestScript, args []string) {
	ts.Check(ts.Exec("countersign", "show", "--statement", args[0]))
	statement := ts.ReadFile("stdout")
	ts.Check(ts.Exec("countersign", "show", "--proof", args[0]))
	body, note, _ := strings.Cut(ts.ReadFile("stdout"), "\n\n")
	lines := strings.Split(body, "\n")
	var index int64
	must(fmt.Sscanf(lines[1], "index %d", &index))
	var proof tlog.RecordProof
	for _, line := range lines[2:] {
		proof = append(proof, must(tlog.ParseHash(line)))
	}
	head := strings.Split(note, "\n")
	size, root := must(strconv.ParseInt(head[1], 10, 64)), must(tlog.ParseHash(head[2]))
	ts.Check(tlog.CheckRecord(proof, size, root, index, tlog.RecordHash([]byte(statement))))
}

// vouch makes a bundle of the registry's word alone: vouch ARTIFACT PURL OUT
func vouch(s *scene, ts *testscript.TestScript, args []string) {
	digests, _, err := ecosystem.Digests(ts.MkAbs(args[0]), "")
	ts.Check(err)
	index := s.registry.vouch(must(provenance.ParseCoordinate(args[1])), digests, time.Now())
	write(ts, args[2], s.registry.bundle(index).JSON())
}

// history makes a registry whose identity has expired, with one package from before: history ARTIFACT PURL
func history(s *scene, ts *testscript.TestScript, args []string) {
	day := time.Date(2020, 3, 1, 12, 0, 0, 0, time.UTC)
	s.registry = newRegistry("registry.example", day, day.AddDate(1, 0, 0))
	publisher := testKey("publisher")
	c := must(provenance.ParseCoordinate(args[1]))
	certificate := must(provenance.Enrolment{Registry: s.registry.name, Publisher: publicKey(publisher), Namespaces: namespaces("pkg:npm/@acme/*"),
		Issued: day}.Sign(s.registry.officer))
	s.registry.enrol(certificate.Envelope)
	digests, _, err := ecosystem.Digests(ts.MkAbs(args[0]), "")
	ts.Check(err)
	p := must(provenance.Draft{Registry: s.registry.name, Coordinate: c, FileName: "file", Digests: digests, SignedAt: day}.Sign(publisher))
	index, _, refusal := s.registry.countersign(p.Envelope, digests, day)
	if refusal != nil {
		ts.Fatalf("%v", refusal)
	}
	write(ts, args[0]+".bundle.json", s.registry.bundle(index).JSON())
	s.publish(ts)
}

// rotate ends the signing keys and writes the bridge from a bundle's head: rotate BRIDGE BUNDLE
func rotate(s *scene, ts *testscript.TestScript, args []string) {
	s.registry.rotate()
	s.publish(ts)
	old := must(provenance.ParseBundle([]byte(ts.ReadFile(args[1]))))
	head := must(provenance.ParseCheckpoint(old.Proof.Checkpoint))
	write(ts, args[0], s.registry.bridge(int(head.Size)).JSON())
}

// exclude excludes an entry from what counts, with a reason that is hostile to terminals, and all later ones of a
// publisher: exclude INDEX
func exclude(s *scene, ts *testscript.TestScript, args []string) {
	id := s.registry.next()
	from := must(strconv.ParseUint(args[0], 10, 64))
	to := from + 1
	id.Excluded = []provenance.Exclusion{{Origin: s.registry.origin(), From: &from, To: &to, Reason: "stolen\x1b[2J\nverified  everything"},
		{Origin: s.registry.origin(), From: &to, Publisher: publicKey(testKey("thief")).Fingerprint(), Reason: "a thief"}}
	s.registry.version(id)
	s.publish(ts)
}

// retire ends the officer's key in favour of another.
func retire(s *scene, ts *testscript.TestScript, _ []string) {
	id := s.registry.next()
	id.Enrol = []provenance.EnrolKey{{PublicKey: publicKey(s.registry.officer), Ended: true}, {PublicKey: publicKey(testKey("new officer"))}}
	s.registry.version(id)
	s.publish(ts)
}

// publish makes many signed artifacts at once: publish PUBLISHER.key N
func publish(s *scene, ts *testscript.TestScript, args []string) {
	key, err := readKey(ts.MkAbs(args[0]))
	ts.Check(err)
	for i := range must(strconv.Atoi(args[1])) {
		name := fmt.Sprintf("acme-%d.tgz", i)
		content := npmPackage(fmt.Sprintf("@acme/%d", i), "1.0.0", "")
		write(ts, name, content)
		digests, _, err := ecosystem.Digests(ts.MkAbs(name), "npm")
		ts.Check(err)
		p, err := provenance.Draft{Registry: s.registry.name, Coordinate: must(provenance.NewCoordinate("npm", fmt.Sprintf("@acme/%d", i), "1.0.0", "")),
			FileName: name, Digests: digests, SignedAt: time.Now()}.Sign(key)
		ts.Check(err)
		write(ts, name+".publication.json", p.Envelope.JSON())
	}
}

// picky makes a listener that accepts no client's certificate.
func picky(s *scene, ts *testscript.TestScript, _ []string) {
	l := newListenerWith(s.registry, func(c *tls.Config) {
		c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return errors.New("not you") }
	})
	ts.Defer(l.Close)
	write(ts, "picky.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: l.Certificate().Raw}))
	ts.Setenv("PICKY", l.URL)
}

// lines checks how many lines a file has: lines FILE N
func lines(_ *scene, ts *testscript.TestScript, args []string) {
	if n := strings.Count(ts.ReadFile(args[0]), "\n"); strconv.Itoa(n) != args[1] {
		ts.Fatalf("%d lines, want %s", n, args[1])
	}
}
