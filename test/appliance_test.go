// Package test drives the real programs: ceremony, key agents over SoftHSM, the daemon and the command line.
package test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"countersign.dev/provenance"
	"countersign.dev/test/fault"
	"countersign.dev/test/remote"
)

const (
	registry = "registry.example"
	origin   = registry + "/countersign/1"
	module   = "/usr/lib/softhsm/libsofthsm2.so"
)

// bin is where TestMain built the programs.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "countersign-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		bin = dir
		build := exec.Command("go", "build", "-o", dir, "../cmd/countersign", "../cmd/countersignd", "../cmd/keyagent", "../cmd/ceremony")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "build the programs:", err)
			return 1
		}
		return m.Run()
	}())
}

// appliance is a registry as a ceremony made it, with its processes.
type appliance struct {
	t          testing.TB
	dir        string
	agents     []string
	namespaces []string // of the identity; nil for acmes
	url        string   // of the signing listener
	public     string   // of the public listener
	client     *http.Client

	modules map[string]*fault.Module // of agents, where they may fail
	remote  *remote.HSM              // agent a's HSM; nil: SoftHSM like the others'

	mu        sync.Mutex
	processes map[string]*process

	identity  *provenance.Identity
	publisher ed25519.PrivateKey
}

type process struct {
	*exec.Cmd
	output *bytes.Buffer
	done   chan struct{}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (a *appliance) path(elem ...string) string {
	return filepath.Join(append([]string{a.dir}, elem...)...)
}

func (a *appliance) write(name, text string) string {
	a.t.Helper()
	must(a.t, os.MkdirAll(filepath.Dir(a.path(name)), 0o700))
	must(a.t, os.WriteFile(a.path(name), []byte(text), 0o600))
	return a.path(name)
}

func (a *appliance) read(name string) string {
	a.t.Helper()
	data, err := os.ReadFile(a.path(name))
	must(a.t, err)
	return string(data)
}

// command is one of the programs, with the appliance's SoftHSM.
func (a *appliance) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(bin, name), args...)
	cmd.Env = append(os.Environ(), "SOFTHSM2_CONF="+a.path("softhsm2.conf"))
	if a.remote != nil {
		cmd.Env = append(cmd.Env, a.remote.Env())
	}
	return cmd
}

// run runs a program to its end and gives what it printed and its exit status.
func (a *appliance) run(name string, args ...string) (output string, status int) {
	a.t.Helper()
	out, err := a.command(name, args...).CombinedOutput()
	if exit, ok := err.(*exec.ExitError); ok {
		return string(out), exit.ExitCode()
	}
	must(a.t, err)
	return string(out), 0
}

func (a *appliance) mustRun(name string, args ...string) string {
	a.t.Helper()
	out, status := a.run(name, args...)
	if status != 0 {
		a.t.Fatalf("%s %s: status %d\n%s", name, strings.Join(args, " "), status, out)
	}
	return out
}

// newAppliance runs the ceremony for m of the agents and starts everything.
func newAppliance(t testing.TB, m int, agents ...string) *appliance {
	t.Helper()
	return newApplianceFor(t, nil, m, agents...)
}

// newApplianceFor makes a registry that speaks for namespaces; nil for those that most tests are about.
func newApplianceFor(t testing.TB, namespaces []string, m int, agents ...string) *appliance {
	t.Helper()
	a := &appliance{t: t, dir: t.TempDir(), agents: agents, namespaces: namespaces, processes: make(map[string]*process)}
	a.make(m)
	t.Cleanup(a.stop)
	for _, name := range agents {
		a.startAgent(name)
	}
	a.startDaemon()
	if namespaces == nil {
		a.enrol("publisher", "pkg:npm/@acme/*")
	}
	return a
}

// acmes are the namespaces of the registry in most tests.
var acmes = []string{"pkg:npm/@acme/*", "pkg:pypi/acme-*", "pkg:golang/example.com/*"}

// quoted is a TOML list of the namespaces.
func quoted(namespaces []string) string {
	if namespaces == nil {
		namespaces = acmes
	}
	return `["` + strings.Join(namespaces, `", "`) + `"]`
}

func (a *appliance) ceremony(m int) {
	a.t.Helper()
	if _, err := os.Stat(module); err != nil {
		a.t.Fatal("SoftHSM is missing: run make deps")
	}
	must(a.t, os.MkdirAll(a.path("tokens"), 0o700))
	a.write("softhsm2.conf", "directories.tokendir = "+a.path("tokens")+"\nobjectstore.backend = file\nlog.level = ERROR\n")
	var b strings.Builder
	fmt.Fprintf(&b, "registry = %q\nnamespaces = %s\nvalid_days = 30\nmodule = %q\nledger = %q\noutput = %q\ndemo = true\n[root]\nthreshold = 1\n[[root.key]]\n%s[enrol]\n[[enrol.key]]\n%s[log]\nthreshold = %d\n",
		registry, quoted(a.namespaces), module, a.path("ledger"), a.path("out"), a.pins("root"), a.pins("enrolment"), m)
	for _, name := range a.agents {
		must(a.t, os.MkdirAll(a.path("state-"+name), 0o700))
		fmt.Fprintf(&b, "[[log.key]]\nname = %q\n%sstate_dir = %q\nsocket = %q\n", name, a.pins("log-"+name), a.path("state-"+name), a.path(name+".sock"))
		if name == "a" && a.remote != nil {
			fmt.Fprintf(&b, "module = %q\n", a.remote.Module.Path)
		}
	}
	config := a.write("ceremony.toml", b.String())
	cmd := a.command("ceremony", "create", "--config", config)
	if 2*m <= len(a.agents) {
		cmd.Stdin = strings.NewReader("I accept that one agent can be forked\n")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		a.t.Fatalf("ceremony: %v\n%s", err, out)
	}
	if a.remote != nil { // its module is told in its folder what to do
		a.configureAgent("a", "state_dir", fmt.Sprintf("allow_write = [%q]\nstate_dir", filepath.Dir(filepath.Dir(a.remote.Module.Path))))
	}
	envelopes, err := provenance.ParseEnvelopes([]byte(a.read("out/identity.json")))
	must(a.t, err)
	chain, err := provenance.ParseChain(envelopes)
	must(a.t, err)
	a.identity = chain.Last()
}

// pins makes the PIN files of a token and gives the lines that name it.
func (a *appliance) pins(token string) string {
	for _, role := range []string{"pin", "so"} {
		a.write("pins/"+token+"."+role, rand.Text()+"\n")
	}
	return fmt.Sprintf("token = %q\npin_file = %q\nso_pin_file = %q\n", token, a.path("pins", token+".pin"), a.path("pins", token+".so"))
}

// credentials makes the TLS keys of the daemon and of its one caller.
func (a *appliance) credentials() {
	server := a.certificate("server")
	client := a.certificate("client")
	roots := x509.NewCertPool()
	roots.AddCert(server.Leaf)
	a.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64,
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{client}}}}
}

func (a *appliance) certificate(name string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(a.t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(a.t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	must(a.t, err)
	cert := a.write(name+".crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	file := a.write(name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
	pair, err := tls.LoadX509KeyPair(cert, file)
	must(a.t, err)
	return pair
}

func (a *appliance) configure() {
	pair, err := tls.LoadX509KeyPair(a.path("client.crt"), a.path("client.key"))
	must(a.t, err)
	sum := sha256.Sum256(pair.Leaf.RawSubjectPublicKeyInfo)
	signing, public := freeAddress(a.t), freeAddress(a.t)
	a.url, a.public = "https://"+signing, "http://"+public
	a.write("countersignd.toml", fmt.Sprintf(`ledger = %q
[signing]
listen = %q
certificate = %q
key = %q
[public]
listen = %q
registries = [%q]
[admin]
socket = %q
allow_uids = [%d]
[[caller]]
name = "back end"
keys = ["sha256:%x"]
[[caller.grant]]
registry = %q
roles = ["publish", "enrol", "backfill"]
%s`, a.path("ledger"), signing, a.path("server.crt"), a.path("server.key"), public, registry, a.path("admin.sock"), os.Getuid(), sum, registry, withoutStatus(a.read("out/registry.toml"))))
}

// withoutStatus keeps the daemon from logging entries of its own, which tests that count would count.
func withoutStatus(registry string) string {
	return strings.Replace(registry, "[[registry]]\n", "[[registry]]\nstatus_interval = \"0\"\n", 1)
}

func freeAddress(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// start starts a program and remembers it under a name.
func (a *appliance) start(name string, cmd *exec.Cmd) *process {
	a.t.Helper()
	p := &process{Cmd: cmd, output: new(bytes.Buffer), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.output, p.output
	must(a.t, cmd.Start())
	go func() {
		cmd.Wait()
		close(p.done)
	}()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.processes[name] = p
	return p
}

func (a *appliance) startAgent(name string) {
	a.t.Helper()
	p := a.start(name, a.command("keyagent", "--config", a.path("out", "keyagent-"+name+".toml")))
	a.waitFor(p, func() bool {
		c, err := net.Dial("unix", a.path(name+".sock"))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func (a *appliance) startDaemon() {
	a.t.Helper()
	p := a.start("daemon", a.command("countersignd", "--config", a.path("countersignd.toml")))
	a.waitFor(p, func() bool {
		r, err := http.Get(a.public + "/readyz")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
}

// waitFor waits until ready, which must come before the process ends.
func (a *appliance) waitFor(p *process, ready func() bool) {
	a.t.Helper()
	for range 1000 {
		if ready() {
			return
		}
		select {
		case <-p.done:
			a.t.Fatalf("%s ended: %s\n%s", p.Path, p.ProcessState, p.output)
		case <-time.After(20 * time.Millisecond):
		}
	}
	p.Process.Kill()
	<-p.done
	a.t.Fatalf("%s is not ready\n%s", p.Path, p.output)
}

// kill ends a process at once, as kill -9 does.
func (a *appliance) kill(name string) { a.end(name, syscall.SIGKILL) }

func (a *appliance) end(name string, signal os.Signal) {
	a.mu.Lock()
	p := a.processes[name]
	delete(a.processes, name)
	a.mu.Unlock()
	if p == nil {
		return
	}
	p.Process.Signal(signal)
	<-p.done
	if a.t.Failed() {
		out := p.output.String()
		a.t.Logf("%s, the end of its log:\n%s", name, out[max(0, len(out)-4000):])
	}
}

func (a *appliance) stop() {
	a.end("daemon", syscall.SIGTERM)
	for _, name := range a.agents {
		a.end(name, syscall.SIGTERM)
	}
}

// post sends to a route of the registry; status 0 means that no answer came.
func (a *appliance) post(ctx context.Context, route, contentType string, body []byte) (int, []byte) {
	req, err := http.NewRequestWithContext(ctx, "POST", a.url+"/v1/registries/"+registry+route, bytes.NewReader(body))
	must(a.t, err)
	req.Header.Set("Content-Type", contentType)
	r, err := a.client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer r.Body.Close()
	answer, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, nil
	}
	return r.StatusCode, answer
}

// request is the body of a countersignature request for content as an npm package.
func (a *appliance) request(name, version, content string) []byte {
	a.t.Helper()
	c, err := provenance.NewCoordinate("npm", name, version, "")
	must(a.t, err)
	p, err := provenance.Draft{Registry: registry, Coordinate: c, FileName: "package.tgz", Digests: digestsOf(content), SignedAt: time.Now()}.Sign(a.publisher)
	must(a.t, err)
	return fmt.Appendf(nil, `{"publication":%s,"observed":{"sha256":%q,"size":%d}}`, p.Envelope.JSON(), digestsOf(content)["sha256"], len(content))
}

func digestsOf(content string) provenance.Digests {
	sum := sha256.Sum256([]byte(content))
	return provenance.Digests{"sha256": hex.EncodeToString(sum[:])}
}

// verify holds a bundle to the pins that the ceremony wrote.
func (a *appliance) verify(bundle []byte, purl, content string) (*provenance.Result, error) {
	pins, err := provenance.ParsePins([]byte(a.read("out/pins.toml")))
	must(a.t, err)
	return provenance.Verify(provenance.Request{Purl: purl, Digests: digestsOf(content), Bundle: bundle, Pins: pins, Now: time.Now()})
}

// admin is a client of the admin socket.
func (a *appliance) admin() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", a.path("admin.sock"))
	}}}
}
