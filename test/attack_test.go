package test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"countersign.dev/ledger"
	"countersign.dev/provenance"
)

// A second daemon does not get at the ledger, nor a second agent at a watermark; the first do not notice.
func TestSecondProcessRefused(t *testing.T) {
	a := newAppliance(t, 2, "a", "b", "c")
	a.published("1.0.0")
	elsewhere := a.read("countersignd.toml")
	for _, address := range []string{a.url, a.public} {
		_, host, _ := strings.Cut(address, "//")
		elsewhere = strings.ReplaceAll(elsewhere, host, freeAddress(t))
	}
	a.write("second.toml", strings.ReplaceAll(elsewhere, a.path("admin.sock"), a.path("second.sock")))
	a.refuses("another countersignd has it open", "countersignd", "--config", a.path("second.toml"))
	a.refuses("another countersignd has it open", "countersignd", "audit", "--config", a.path("second.toml"))
	config := a.read("out/keyagent-a.toml")
	for _, second := range []string{config, strings.ReplaceAll(config, a.path("a.sock"), a.path("second.sock"))} {
		a.refuses("in use by another agent", "keyagent", "--config", a.write("second-agent.toml", second))
	}
	a.published("1.0.1")
	for name, phase := range a.phases() {
		if phase != "active" {
			t.Errorf("agent %s is %s", name, phase)
		}
	}
}

// Everything ends and starts again, in any order, cleanly or not: what was answered is answered the same.
func TestRestartOfEverything(t *testing.T) {
	a := newAppliance(t, 2, "a", "b", "c")
	var bodies [][]byte
	var statements []string
	for i := range 3 {
		version := fmt.Sprintf("1.0.%d", i)
		bodies = append(bodies, a.request("@acme/widget", version, "content"))
		statements = append(statements, a.statement(a.settled(bodies[i], version)))
	}
	for i, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGINT} {
		for _, name := range []string{"b", "daemon", "a", "c"} {
			a.end(name, signal)
		}
		a.start("daemon", a.command("countersignd", "--config", a.path("countersignd.toml"))) // before its agents
		for _, name := range a.agents {
			a.startAgent(name)
		}
		a.published(fmt.Sprintf("2.0.%d", i))
	}
	for i, before := range statements {
		if now := a.statement(a.settled(bodies[i], fmt.Sprintf("1.0.%d", i))); now != before {
			t.Errorf("version 1.0.%d has another statement:\n%s\n%s", i, before, now)
		}
	}
}

// statement is what a bundle says.
func (a *appliance) statement(bundle []byte) string {
	a.t.Helper()
	b, err := provenance.ParseBundle(bundle)
	must(a.t, err)
	return string(b.Statement)
}

// A daemon that is told to end while many wait answers or refuses each, promptly; what it answered is there.
func TestSIGTERMUnderLoad(t *testing.T) {
	a := newAppliance(t, 2, "a", "b", "c")
	const workers = 24
	var group sync.WaitGroup
	var good, refused, dropped atomic.Int64
	var kept sync.Map
	begun := make(chan struct{}, workers)
	for id := range workers {
		group.Go(func() {
			for n := 0; ; n++ {
				body := a.request(fmt.Sprintf("@acme/w%d", id), fmt.Sprintf("1.0.%d", n), "content")
				status, answer := a.post(context.Background(), "/countersignatures", "application/json", body)
				switch {
				case status == http.StatusCreated:
					good.Add(1)
					kept.Store(fmt.Sprintf("pkg:npm/%%40acme/w%d@1.0.%d", id, n), answer)
				case status == http.StatusServiceUnavailable && strings.Contains(string(answer), `"retryable":true`):
					refused.Add(1)
					return
				case status == 0: // no connection any more, or one that was closed while idle
					dropped.Add(1)
					return
				default:
					t.Errorf("%d %s", status, answer)
					return
				}
				if n == 3 {
					begun <- struct{}{}
				}
			}
		})
	}
	for range workers {
		<-begun
	}
	daemon, start := a.processes["daemon"], time.Now()
	must(t, daemon.Process.Signal(syscall.SIGTERM))
	a.ends(daemon, 0)
	// net/http waits five seconds for a connection that was made and has not sent anything yet.
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("took %s to end", d)
	}
	group.Wait()
	t.Logf("%d answered, %d refused, %d found no daemon", good.Load(), refused.Load(), dropped.Load())
	a.stop()
	db, err := ledger.Open(a.path("ledger"))
	must(t, err)
	defer db.Close()
	log, err := db.Log(origin)
	must(t, err)
	if log.Size() != log.Checkpoint().Size {
		t.Errorf("%d entries, %d under the checkpoint", log.Size(), log.Checkpoint().Size)
	}
	if n := int64(log.Size()) - 2; n != good.Load() { // the identity and the enrolment
		t.Errorf("%d were answered, %d are logged: somebody was told nothing", good.Load(), n)
	}
	l := &load{appliance: a}
	kept.Range(func(purl, bundle any) bool {
		l.onTree(log, answered{purl.(string), "content", bundle.([]byte)})
		return true
	})
}
