package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// tokenDir finds where SoftHSM keeps a token.
func (a *appliance) tokenDir(label string) string {
	a.t.Helper()
	objects, err := filepath.Glob(a.path("tokens/*/token.object"))
	must(a.t, err)
	for _, o := range objects {
		data, err := os.ReadFile(o)
		must(a.t, err)
		if bytes.Contains(data, []byte(label)) {
			return filepath.Dir(o)
		}
	}
	a.t.Fatalf("there is no token %s", label)
	return ""
}

// A token that is pulled out costs its agent and nobody else: no wrong answer, no gap. Plugged in again, and its agent
// restarted, it is back by itself.
func TestUnpluggedToken(t *testing.T) {
	a := newAppliance(t, 2, "a", "b", "c")
	a.published("1.0.0")
	token := a.tokenDir("log-a")
	must(t, os.Rename(token, a.path("pulled")))
	start := time.Now()
	for i := range 20 {
		a.published(fmt.Sprintf("1.1.%d", i)) // verifies
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("20 publications took %s without one token of three", d)
	}
	a.end("a", syscall.SIGTERM)
	a.refuses("log-a", "keyagent", "--config", a.path("out/keyagent-a.toml"))
	a.published("1.2.0")
	must(t, os.Rename(a.path("pulled"), token))
	a.startAgent("a")
	a.waitPhase("a", "active")
	a.end("b", syscall.SIGTERM) // now it is needed
	a.published("1.3.0")
	if s := a.state(); s.Size != s.Checkpoint {
		t.Errorf("%d entries, %d under the checkpoint", s.Size, s.Checkpoint)
	}
}

// flood publishes until the daemon stops answering, or time is over, and gives what was answered.
func (a *appliance) flood(name string, most time.Duration) []answered {
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	var mu sync.Mutex
	var all []answered
	var group sync.WaitGroup
	for id := range 8 {
		group.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				pkg, version := fmt.Sprintf("@acme/%s%d", name, id), fmt.Sprintf("1.0.%d", n)
				status, answer := a.post(ctx, "/countersignatures", "application/json", a.request(pkg, version, "content"))
				if status != http.StatusCreated {
					return
				}
				mu.Lock()
				all = append(all, answered{"pkg:npm/" + strings.Replace(pkg, "@", "%40", 1) + "@" + version, "content", answer})
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return all
}

// survives checks, after a fault that ended the daemon or had it refuse, that it comes back by itself and has everything
// that it ever answered.
func (a *appliance) survives(p *process, answers []answered) {
	t := a.t
	t.Helper()
	select {
	case <-p.done:
		t.Logf("%d were answered; then the daemon ended: %s", len(answers), p.ProcessState)
	case <-time.After(2 * time.Second):
		t.Logf("%d were answered; then the daemon refused", len(answers))
		a.end("daemon", syscall.SIGTERM)
	}
	if len(answers) < 20 {
		t.Fatalf("only %d answers: the load was no load", len(answers))
	}
	a.startDaemon()
	a.published("9.0.0")
	a.stop()
	l := &load{appliance: a, answers: answers}
	for len(l.answers) < 50 { // what check asks for
		l.answers = append(l.answers, l.answers...)
	}
	l.check()
}

// A disk that fills up ends the daemon or has it refuse: nothing that was answered is lost, and once there is room it
// starts by itself.
func TestDiskFull(t *testing.T) {
	a := unused(t, 2, "a", "b", "c")
	must(t, os.Rename(a.path("ledger"), a.path("made")))
	must(t, os.Mkdir(a.path("ledger"), 0o700))
	if err := syscall.Mount("tmpfs", a.path("ledger"), "tmpfs", 0, "size=64m,mode=0700"); errors.Is(err, syscall.EPERM) {
		t.Log("mounting a small disk takes root: TestFileSizeLimit does what can be done without")
		return
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.stop()
		must(t, syscall.Unmount(a.path("ledger"), 0))
	})
	if out, err := exec.Command("cp", "-a", a.path("made")+"/.", a.path("ledger")).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	a.startAll()
	ballast := a.path("ledger", "ballast")
	a.fill(ballast, 1<<20)
	answers := a.flood("full", 20*time.Second)
	p := a.processes["daemon"]
	for range 3 { // the service manager tries while the disk is still full
		select {
		case <-p.done:
			a.start("again", a.command("countersignd", "--config", a.path("countersignd.toml")))
			time.Sleep(300 * time.Millisecond)
			a.end("again", syscall.SIGKILL)
		case <-time.After(200 * time.Millisecond):
		}
	}
	must(t, os.Remove(ballast))
	a.survives(p, answers)
}

// fill leaves so many bytes of the disk free.
func (a *appliance) fill(path string, leave int64) {
	var disk syscall.Statfs_t
	must(a.t, syscall.Statfs(filepath.Dir(path), &disk))
	f, err := os.Create(path)
	must(a.t, err)
	defer f.Close()
	must(a.t, syscall.Fallocate(int(f.Fd()), 0, 0, int64(disk.Bavail)*disk.Bsize-leave))
}

// startAll starts an appliance and enrols its publisher.
func (a *appliance) startAll() {
	a.t.Helper()
	a.t.Cleanup(a.stop)
	for _, name := range a.agents {
		a.startAgent(name)
	}
	a.startDaemon()
	a.enrol("publisher", "pkg:npm/@acme/*")
}

// The same with a limit on the size of files, under which writes fail in the middle.
func TestFileSizeLimit(t *testing.T) {
	a := unused(t, 2, "a", "b", "c")
	a.startAll()
	a.end("daemon", syscall.SIGTERM)
	daemon := a.command("countersignd", "--config", a.path("countersignd.toml"))
	limited := exec.Command("sh", append([]string{"-c", `ulimit -f 1024 && exec "$@"`, "sh"}, daemon.Args...)...)
	limited.Env = daemon.Env
	p := a.start("daemon", limited)
	a.waitFor(p, func() bool {
		r, err := http.Get(a.public + "/readyz")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	answers := a.flood("limit", 20*time.Second)
	a.survives(p, answers)
}
