package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign.dev/agent"
	"countersign.dev/attest"
	"countersign.dev/hsm/softhsm"
	"countersign.dev/ledger"
	"countersign.dev/provenance"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// stage is a directory with everything that create wants: PIN files, state directories, a configuration.
type stage struct {
	t   *testing.T
	dir string
}

func newStage(t *testing.T, m int, agents ...string) *stage {
	s := &stage{t, t.TempDir()}
	var b strings.Builder
	fmt.Fprintf(&b, "registry = \"registry.example\"\nnamespaces = [\"pkg:npm/@acme/*\"]\nvalid_days = 30\nmodule = %q\nledger = %q\noutput = %q\ndemo = true\n",
		softhsm.Module, s.path("ledger"), s.path("out"))
	fmt.Fprintf(&b, "[root]\nthreshold = 1\n[[root.key]]\n%s[enrol]\n[[enrol.key]]\n%s[log]\nthreshold = %d\n", s.token("root"), s.token("enrolment"), m)
	for _, a := range agents {
		must(t, os.Mkdir(s.path("state-"+a), 0o700))
		fmt.Fprintf(&b, "[[log.key]]\nname = %q\nstate_dir = %q\nsocket = %q\n%s", a, s.path("state-"+a), s.path(a+".sock"), s.token("log-"+a))
	}
	s.write("ceremony.toml", b.String())
	return s
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

func (s *stage) write(name, text string) {
	s.t.Helper()
	must(s.t, os.WriteFile(s.path(name), []byte(text), 0o600))
}

func (s *stage) read(name string) string {
	s.t.Helper()
	data, err := os.ReadFile(s.path(name))
	must(s.t, err)
	return string(data)
}

func (s *stage) token(name string) string {
	s.write(name+".pin", rand.Text())
	s.write(name+".so", rand.Text())
	return fmt.Sprintf("token = %q\npin_file = %q\nso_pin_file = %q\n", name, s.path(name+".pin"), s.path(name+".so"))
}

// replace changes the configuration.
func (s *stage) replace(old, new string) {
	s.t.Helper()
	text := s.read("ceremony.toml")
	if !strings.Contains(text, old) {
		s.t.Fatalf("the configuration has no %q", old)
	}
	s.write("ceremony.toml", strings.Replace(text, old, new, 1))
}

func (s *stage) run(input string, args ...string) (out string, status int) {
	var b bytes.Buffer
	status = run(context.Background(), args, terminal{strings.NewReader(input), &b, &b})
	return b.String(), status
}

func (s *stage) create(input string) (out string, status int) {
	return s.run(input, "create", "--config", s.path("ceremony.toml"))
}

// nothing fails if the ceremony made anything.
func (s *stage) nothing() {
	s.t.Helper()
	for _, name := range []string{"ledger", "out", "state-a/registry.example_countersign_1.watermark"} {
		if _, err := os.Lstat(s.path(name)); err == nil {
			s.t.Errorf("%s was made", name)
		}
	}
}

func (s *stage) chain() *provenance.Chain {
	s.t.Helper()
	envelopes, err := provenance.ParseEnvelopes([]byte(strings.TrimSpace(s.read("out/identity.json"))))
	must(s.t, err)
	chain, err := provenance.ParseChain(envelopes)
	must(s.t, err)
	return chain
}

// shown verifies the evidence of each of the log's keys, which the identity must name; want is what Verify says of it.
func (s *stage) shown(id *provenance.Identity, want error) {
	s.t.Helper()
	for i, k := range id.Open().Keys {
		data := s.read("out/evidence-" + string("abc"[i]) + ".json")
		report, err := attest.Verify([]byte(data), attest.Question{Now: time.Now(), MaxAge: time.Hour})
		if !errors.Is(err, want) {
			s.t.Fatalf("evidence of key %d: %v, want %v", i, err, want)
		}
		if named := (provenance.KeyEvidence{Key: k.PublicKey.Fingerprint(), Digest: report.Digest}); id.Evidence[i] != named {
			s.t.Errorf("the identity has %v, the evidence is %v", id.Evidence[i], named)
		}
	}
}

func TestCreate(t *testing.T) {
	softhsm.New(t)
	s := newStage(t, 2, "a", "b", "c")
	out, status := s.create("")
	if status != 0 {
		t.Fatal(out)
	}
	chain := s.chain()
	if !strings.Contains(out, chain.Fingerprint()) || strings.Contains(out, strings.TrimSpace(s.read("root.pin"))) {
		t.Fatalf("the fingerprint is missing, or a PIN is there:\n%s", out)
	}
	db, err := ledger.Open(s.path("ledger"))
	must(t, err)
	defer db.Close()
	log, err := db.Log("registry.example/countersign/1")
	must(t, err)
	entry, err := log.Entry(0)
	must(t, err)
	if string(entry) != string(chain.Last().Envelope.JSON()) || log.Size() != 1 {
		t.Fatal("entry 0 is not the identity")
	}
	cp, err := provenance.ParseCheckpoint(string(log.Checkpoint().Note))
	must(t, err)
	must(t, chain.Last().Open().Counts(cp, nil))
	for _, a := range []string{"a", "b", "c"} {
		state, err := agent.OpenState(s.path("state-"+a), "registry.example/countersign/1")
		must(t, err)
		must(t, state.Close())
		if !strings.Contains(s.read("out/registry.toml"), s.path(a+".sock")) {
			t.Errorf("registry.toml does not name agent %s", a)
		}
	}
	s.shown(chain.Last(), nil)
	if n := strings.Count(s.read("out/log.vkey"), "registry.example/countersign/1+"); n != 3 {
		t.Errorf("log.vkey has %d keys", n)
	}
	_, err = provenance.ParsePins([]byte(s.read("out/pins.toml")))
	must(t, err)
	// The same again makes nothing and changes nothing.
	before := s.read("out/identity.json")
	if out, status := s.create(""); status != 1 || !strings.Contains(out, "overwrites nothing") {
		t.Fatalf("%d %s", status, out)
	}
	if s.read("out/identity.json") != before {
		t.Fatal("the identity changed")
	}
}

// Whatever exists is refused before anything is made.
func TestCreateRefusesWhatExists(t *testing.T) {
	tokens := softhsm.New(t)
	tokens.Token("log-a")
	for name, arrange := range map[string]func(*stage){
		"token log-a exists": func(*stage) {},
		"ledger exists":      func(s *stage) { must(t, os.Mkdir(s.path("ledger"), 0o700)) },
		"out exists":         func(s *stage) { must(t, os.Mkdir(s.path("out"), 0o700)) },
		".watermark exists":  func(s *stage) { s.write("state-a/registry.example_countersign_1.watermark", "") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, 1, "a")
			arrange(s)
			out, status := s.create("")
			if status != 1 || !strings.Contains(out, name) {
				t.Fatalf("%d %s", status, out)
			}
			if strings.Contains(out, "Made") {
				t.Fatalf("it made something first:\n%s", out)
			}
		})
	}
}

func TestCreateAsksWhereTheLogCanBeForked(t *testing.T) {
	softhsm.New(t)
	for input, done := range map[string]bool{"": false, "yes\n": false, "i accept that one agent can be forked\n": false, accept + "\n": true} {
		s := newStage(t, 1, "a", "b")
		out, status := s.create(input)
		if (status == 0) != done {
			t.Fatalf("%q: status %d\n%s", input, status, out)
		}
		if !done {
			s.nothing()
		}
	}
}

func TestConfigRefuses(t *testing.T) {
	for want, change := range map[string][2]string{
		"unknown key":             {"demo = true", "demo = true\ncolour = 1"},
		"lower-case host name":    {"registry.example", "Registry.example"},
		"name at least one":       {`["pkg:npm/@acme/*"]`, "[]"},
		"namespaces:":             {"pkg:npm/@acme/*", "pkg:npm/*"},
		"either valid_days":       {"valid_days = 30", "valid_days = 30\nexpires = \"2090-01-01T00:00:00Z\""},
		"expires":                 {"valid_days = 30", `expires = "tomorrow"`},
		"expired from the start":  {"valid_days = 30", `expires = "2020-01-01T00:00:00Z"`},
		"root: threshold":         {"[root]\nthreshold = 1", "[root]\nthreshold = 2"},
		"log: threshold":          {"[log]\nthreshold = 1", "[log]\nthreshold = 0"},
		"not an absolute path":    {"pin_file = \"/", "pin_file = \""},
		"is named twice":          {`token = "enrolment"`, `token = "root"`},
		"has a slash":             {`name = "a"`, `name = "a/b"`},
		"socket must be absolute": {"socket = \"/", "socket = \""},
		"must exist":              {"state-a\"", "state-z\""},
		"absolute paths":          {"ledger = \"/", "ledger = \""},
		"module must be there":    {"module = \"/", "module = \""},
	} {
		s := newStage(t, 1, "a")
		s.replace(change[0], change[1])
		if _, err := loadConfig(s.path("ceremony.toml"), time.Now()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

func TestUsage(t *testing.T) {
	s := &stage{t, t.TempDir()}
	for _, args := range [][]string{{}, {"make"}, {"create"}, {"create", "--config"}, {"create", "--config", "x", "y"}, {"enrol"}, {"enrol", "--key", "x"},
		{"enrol", "--namespace", "npm"}, {"end-enrolment", "--key", "x"}, {"end-enrolment", "--colour"}} {
		if out, status := s.run("", args...); status != 2 || !strings.Contains(out, "--help") {
			t.Errorf("%q: %d %s", args, status, out)
		}
	}
	if out, status := s.run("", "--help"); status != 0 || !strings.Contains(out, "worked example") {
		t.Errorf("%d %s", status, out)
	}
	if out, status := s.run("", "create", "--config", s.path("absent.toml")); status != 1 || !strings.Contains(out, "absent.toml") {
		t.Errorf("%d %s", status, out)
	}
}

// The usage text's example is a configuration.
func TestUsageExample(t *testing.T) {
	start, end := strings.Index(usage, "  registry   ="), strings.Index(usage, "Choose 1 of 1")
	text := strings.Replace(usage[start:end], "  [[log.key]]\n  name = \"b\"\n  …\n", "", 1)
	s := &stage{t, t.TempDir()}
	must(t, os.Mkdir(s.path("keyagent-a"), 0o700))
	text = strings.NewReplacer("/var/lib/", s.dir+"/", "/etc/countersign/", s.dir+"/", "threshold = 2", "threshold = 1").Replace(text)
	s.write("ceremony.toml", text)
	_, err := loadConfig(s.path("ceremony.toml"), time.Now())
	must(t, err)
}

// A certificate and its end, by the key in its token.
func TestEnrolAndEnd(t *testing.T) {
	softhsm.New(t)
	s := newStage(t, 1, "a")
	if out, status := s.create(""); status != 0 {
		t.Fatal(out)
	}
	public, _, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	spki, err := x509.MarshalPKIXPublicKey(public)
	must(t, err)
	s.write("acme.pub", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})))
	uri := func(token, object string) string {
		return fmt.Sprintf("pkcs11:token=%s;object=%s?module-path=%s&pin-source=file:%s", token, object, softhsm.Module, s.path(token+".pin"))
	}
	enrol := func(key string, more ...string) (string, int) {
		return s.run("", append([]string{"enrol", "--key", key, "--identity", s.path("out/identity.json"), "--publisher", s.path("acme.pub"),
			"--namespace", "pkg:npm/@acme/*", "--out", s.path("acme.json")}, more...)...)
	}
	for want, attempt := range map[string][]string{
		"not an enrolment key": {uri("log-a", "log-1")},
		"no private key":       {uri("enrolment", "other")},
		"--not-after":          {uri("enrolment", "enrolment"), "--not-after", "tomorrow"},
		"does not speak for":   {uri("enrolment", "enrolment"), "--namespace", "pkg:npm/@other/*"},
	} {
		if out, status := enrol(attempt[0], attempt[1:]...); status != 1 || !strings.Contains(out, want) {
			t.Errorf("%q: %d %s", want, status, out)
		}
	}
	if out, status := enrol(uri("enrolment", "enrolment"), "--not-after", "2090-01-01T00:00:00Z"); status != 0 {
		t.Fatal(out)
	}
	if out, status := enrol(uri("enrolment", "enrolment")); status != 1 || !strings.Contains(out, "exists") {
		t.Fatalf("a certificate was overwritten: %d %s", status, out)
	}
	if out, status := s.run("", "end-enrolment", "--key", uri("enrolment", "enrolment"), "--identity", s.path("out/identity.json"),
		"--enrolment", s.path("acme.json"), "--reason", "test", "--out", s.path("end.json")); status != 0 {
		t.Fatal(out)
	}
	identity, err := readIdentity(s.path("out/identity.json"))
	must(t, err)
	certificate := s.envelope("acme.json")
	e, err := provenance.ParseEnrolment(certificate)
	must(t, err)
	end, err := provenance.ParseEnrolmentEnd(s.envelope("end.json"))
	must(t, err)
	if !identity.Enrols(certificate) || !identity.Enrols(end.Envelope) || end.Enrolment != e.Digest() || string(e.Publisher[:]) != string(public) {
		t.Fatal("the certificate or its end is not what was asked for")
	}
}

func (s *stage) envelope(name string) *provenance.Envelope {
	s.t.Helper()
	e, err := provenance.ParseEnvelope([]byte(strings.TrimSpace(s.read(name))))
	must(s.t, err)
	return e
}
