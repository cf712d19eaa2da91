//go:build soak

package test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// sampled is what one look at a process found; -1 for what it did not tell.
type sampled struct {
	rss                                  int // KiB
	threads, files, goroutines, sessions int
}

// watch looks at every process, once when it has just begun and again and again after a fifth of the time.
func (s *soak) watch(ctx context.Context) {
	pause(ctx, time.Second)
	s.lookAtAll()
	pause(ctx, *soakFor/5)
	for ctx.Err() == nil {
		s.lookAtAll()
		pause(ctx, soakSample)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (s *soak) lookAtAll() {
	for name, p := range s.running {
		if look, ok := s.look(name, p); ok {
			s.samples[name] = append(s.samples[name], look)
		}
	}
}

// look is false for an agent that is just starting again.
func (s *soak) look(name string, p *process) (sampled, bool) {
	look := sampled{goroutines: -1, sessions: -1}
	look.rss, look.threads = ofProcess(s.t, p.Process.Pid, "VmRSS:"), ofProcess(s.t, p.Process.Pid, "Threads:")
	look.files = openFiles(s.t, p.Process.Pid)
	if m := s.hsms[name]; m != nil {
		look.sessions, _ = m.Sessions()
		health, ok := s.health(name)
		if !ok {
			return look, false
		}
		look.goroutines = health.Goroutines
	}
	return look, true
}

// ofProcess reads a number of proc(5)'s status.
func ofProcess(t testing.TB, pid int, field string) (n int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	_, after, _ := strings.Cut(string(status), "\n"+field)
	if _, err := fmt.Sscan(after, &n); err != nil {
		t.Fatalf("process %d: %s %v", pid, field, err)
	}
	return n
}

// openFiles leaves out those of the ledger, whose number is the database's affair.
func openFiles(t testing.TB, pid int) (n int) {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	must(t, err)
	if len(links) == 0 {
		t.Fatalf("no open files of process %d can be seen: agents show them to root only", pid)
	}
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && !strings.Contains(to, "/ledger/") {
			n++
		}
	}
	return n
}

type health struct {
	Status     string `json:"status"`
	Goroutines int    `json:"goroutines"`
	Signatures int    `json:"signatures"`
}

func (a *appliance) health(agent string) (h health, ok bool) {
	a.t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", a.path(agent+".sock"))
	}}
	r, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get("http://agent/v1/health")
	if err != nil {
		return h, false
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return h, false
	}
	must(a.t, json.UnmarshalRead(r.Body, &h))
	return h, true
}

// counted is what must not grow.
var counted = []struct {
	name string
	of   func(sampled) int
}{
	{"threads", func(l sampled) int { return l.threads }},
	{"files", func(l sampled) int { return l.files }},
	{"goroutines", func(l sampled) int { return l.goroutines }},
	{"sessions", func(l sampled) int { return l.sessions }},
}

// growth compares the first third of the samples with the last, and gives the table. What agents lose when they start
// again shows in comparison with the very first sample.
func (s *soak) growth() string {
	table := "\n| process | starts again | threads | open files | goroutines | sessions | RSS, most, MiB |\n|---|---|---|---|---|---|---|"
	for _, name := range append([]string{"daemon"}, s.agents...) {
		third := len(s.samples[name]) / 3
		if third < 3 {
			s.t.Fatalf("%d samples of %s: too few", len(s.samples[name]), name)
		}
		begun, looks := s.samples[name][0], s.samples[name][1:]
		first, last := looks[:third], looks[len(looks)-third:]
		again := strings.Count(s.running[name].output.String(), "again=true")
		table += fmt.Sprintf("\n| %s | %d |", name, again)
		for _, c := range counted {
			before, after := typical(first, c.of), typical(last, c.of)
			if after > before+soakNoise || after > c.of(begun)+3*soakNoise {
				s.t.Errorf("%s: %d %s when it began, %d in the first third, %d in the last", name, c.of(begun), c.name, before, after)
			}
			table += strings.ReplaceAll(fmt.Sprintf(" %d → %d → %d |", c.of(begun), before, after), "-1 → -1 → -1", "–")
		}
		before, after := most(first), most(last)
		table += fmt.Sprintf(" %d → %d → %d |", begun.rss>>10, before>>10, after>>10)
		if name == "daemon" {
			continue
		}
		if after*10 > before*12 {
			s.t.Errorf("agent %s: %d KiB in the first third, %d in the last", name, before, after)
		}
		if want := int(*soakFor / (2 * time.Minute)); again < want || again == 0 {
			s.t.Errorf("agent %s started again %d times: the soak soaked little", name, again)
		}
	}
	return table
}

// typical is the median.
func typical(looks []sampled, of func(sampled) int) int {
	var list []int
	for _, l := range looks {
		list = append(list, of(l))
	}
	slices.Sort(list)
	return list[len(list)/2]
}

func most(looks []sampled) int {
	return slices.MaxFunc(looks, func(a, b sampled) int { return a.rss - b.rss }).rss
}
