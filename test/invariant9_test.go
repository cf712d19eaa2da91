package test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign.dev/test/fault"
)

// spied starts an agent whose module is a faulty one, without faults yet, and gives the number of logins so far.
func (a *appliance) spied(name string) (p *process, logins func() int) {
	a.t.Helper()
	m := a.faulty(name)
	before := m.Calls("C_Login")
	return a.start(name, a.command("keyagent", "--config", a.path("out", "keyagent-"+name+".toml"))), func() int {
		return m.Calls("C_Login") - before
	}
}

// faulty is the module of an agent, which fails on demand from the agent's next start on.
func (a *appliance) faulty(name string) *fault.Module {
	a.t.Helper()
	if m := a.modules[name]; m != nil {
		return m
	}
	m := fault.New(a.t, module)
	if a.modules == nil {
		a.modules = make(map[string]*fault.Module)
	}
	a.modules[name] = m
	a.configureAgent(name, module, m.Path)
	a.configureAgent(name, "state_dir", fmt.Sprintf("allow_write = [%q]\nstate_dir", filepath.Dir(filepath.Dir(m.Path)))) // where it is told what to do
	return m
}

// configureAgent replaces a text in an agent's configuration.
func (a *appliance) configureAgent(name, old, new string) {
	a.t.Helper()
	config := "out/keyagent-" + name + ".toml"
	if !strings.Contains(a.read(config), old) {
		a.t.Fatalf("%s has no %q", config, old)
	}
	a.write(config, strings.ReplaceAll(a.read(config), old, new))
}

// ends waits for a process to end by itself, with a status, and gives what it said.
func (a *appliance) ends(p *process, status int) string {
	a.t.Helper()
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		p.Process.Kill()
		<-p.done
		a.t.Fatalf("%s does not end:\n%s", p.Path, p.output)
	}
	if got := p.ProcessState.ExitCode(); got != status {
		a.t.Fatalf("%s ended with status %d, want %d:\n%s", filepath.Base(p.Path), got, status, p.output)
	}
	return p.output.String()
}

// refuses runs a program that must end at once with status 1 and say why, although it could go on for ever.
func (a *appliance) refuses(says, program string, args ...string) {
	a.t.Helper()
	if said := a.ends(a.start("refused", a.command(program, args...)), 1); !strings.Contains(said, says) {
		a.t.Errorf("%s does not say %q:\n%s", program, says, said)
	}
}

// published sends one version, which must be countersigned and verify.
func (a *appliance) published(version string) []byte {
	a.t.Helper()
	return a.settled(a.request("@acme/widget", version, "content"), version)
}

// settled sends a request as an outbox does, until the answer is definite, which must be a bundle of that version.
func (a *appliance) settled(body []byte, version string) []byte {
	a.t.Helper()
	status, answer := 0, []byte(nil)
	for range 500 {
		status, answer = a.post(context.Background(), "/countersignatures", "application/json", body)
		if status == http.StatusOK || status == http.StatusCreated || status >= 400 && status < 500 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if status != http.StatusCreated && status != http.StatusOK {
		a.t.Fatalf("%s: %d %s", version, status, answer)
	}
	if _, err := a.verify(answer, "pkg:npm/%40acme/widget@"+version, "content"); err != nil {
		a.t.Fatal(err)
	}
	return answer
}

// phases are the agents' as the daemon sees them.
func (a *appliance) phases() map[string]string {
	a.t.Helper()
	all := map[string]string{}
	for _, s := range a.state().Agents {
		all[s.Name] = s.Phase
	}
	return all
}

func (a *appliance) waitPhase(name, phase string) {
	a.t.Helper()
	for range 600 {
		if a.phases()[name] == phase {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	a.t.Fatalf("agent %s is %s, want %s", name, a.phases()[name], phase)
}

// Fail closed: a PIN that the token refuses is tried once. The process ends with the status that keeps it down, whatever the
// daemon asks; the other agents go on; and nothing is tried again before a person has acted.
func TestInvariant9_WrongPINIsTriedOnce(t *testing.T) {
	a := newAppliance(t, 2, "a", "b", "c")
	a.end("a", os.Interrupt)
	pin := a.read("pins/log-a.pin")
	a.write("pins/log-a.pin", "not-the-pin\n")
	p, logins := a.spied("a")
	said := a.ends(p, 78)
	if n := logins(); n != 1 {
		t.Errorf("%d logins with a wrong PIN, want exactly one", n)
	}
	for _, want := range []string{"CKR_PIN_INCORRECT", "not to be restarted"} {
		if !strings.Contains(said, want) {
			t.Errorf("does not say %q:\n%s", want, said)
		}
	}
	if strings.Contains(said, "not-the-pin") || strings.Contains(said, strings.TrimSpace(pin)) {
		t.Error("a PIN was printed")
	}
	for i := range 3 {
		a.published(fmt.Sprintf("1.0.%d", i))
	}
	if n := logins(); n != 1 {
		t.Errorf("%d logins in the end", n)
	}
	if phase := a.phases()["a"]; phase == "active" {
		t.Errorf("the agent is %s", phase)
	}

	// A PIN file that is gone is no attempt at all.
	must(t, os.Remove(a.path("pins/log-a.pin")))
	p, logins = a.spied("a")
	said = a.ends(p, 1)
	if n := logins(); n != 0 || !strings.Contains(said, "PIN file") {
		t.Errorf("%d logins without a PIN:\n%s", n, said)
	}
	a.published("1.1.0")

	a.write("pins/log-a.pin", pin)
	p, logins = a.spied("a")
	a.waitPhase("a", "active")
	if n := logins(); n != 1 {
		t.Errorf("%d logins with the right PIN", n)
	}
	a.end("b", os.Interrupt) // now it is needed
	a.published("1.2.0")
	a.end("a", os.Interrupt)
	if !strings.Contains(p.output.String(), "a wrong user PIN was tried") {
		t.Errorf("the wrong PIN of before is not reported:\n%s", p.output)
	}
}

// Uncertain means refused: with fewer agents than the rule needs nothing new is logged, and when they are back all goes on
// by itself.
func TestInvariant9_TooFewAgents(t *testing.T) {
	a := newAppliance(t, 2, "a", "b", "c")
	a.published("1.0.0")
	a.kill("a")
	a.kill("b")
	body := a.request("@acme/widget", "1.0.1", "content")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	status, _ := a.post(ctx, "/countersignatures", "application/json", body) // occupies the round, and gives up on it
	cancel()
	if status != 0 {
		t.Fatalf("answered with one agent of three: %d", status)
	}
	a.startAgent("b")
	a.settled(body, "1.0.1")
	a.published("1.0.2")
	if s := a.state(); s.Size != s.Checkpoint || s.Size != 5 { // identity, enrolment, three versions
		t.Fatalf("%d entries, %d under the checkpoint", s.Size, s.Checkpoint)
	}
}
