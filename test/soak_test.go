//go:build soak

package test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"countersign.dev/test/fault"
)

var soakFor = flag.Duration("soak", 10*time.Minute, "how long TestSoak goes on")

const (
	soakCallers  = 8
	soakPause    = 60 * time.Millisecond // of a caller between two publications, on average
	soakSample   = 5 * time.Second
	soakTrouble  = 30 * time.Second // from one reboot of an HSM to the next
	soakFailures = 10               // of 10,000 C_Sign
	soakRecycle  = 2500             // signatures, about half a minute
	soakNoise    = 5                // threads, open files, goroutines or sessions more are no growth
)

// soak is a rig whose HSMs all have a little trouble, and whose agents start again in place often.
type soak struct {
	*rig
	hsms    map[string]*fault.Module
	running map[string]*process
	samples map[string][]sampled
}

func newSoak(t *testing.T) *soak {
	t.Setenv("GOTRACEBACK", "all") // for goroutines
	a := unused(t, 2, "a", "b", "c")
	s := &soak{rig: &rig{load: &load{appliance: a}, errors: map[string]int{}}, hsms: map[string]*fault.Module{}}
	for _, name := range a.agents {
		a.configureAgent(name, "[[log]]", fmt.Sprintf("call_timeout = \"2s\"\nrecycle_after = %d\n[[log]]", soakRecycle))
		m := a.faulty(name)
		m.Latency(2 * time.Millisecond)
		m.Engines(1)
		m.FailOften("C_Sign", fault.FunctionFailed, soakFailures)
		s.hsms[name] = m
	}
	a.startAll()
	s.running = maps.Clone(a.processes)
	s.samples = map[string][]sampled{}
	return s
}

// caller publishes at random moments, and counts what is no good answer. It sends the same until there is one.
func (s *soak) caller(ctx context.Context, name string) {
	for n := 0; ctx.Err() == nil; n++ {
		version, content := fmt.Sprintf("1.0.%d", n), fmt.Sprintf("content %d", n)
		body := s.request("@acme/"+name, version, content)
		for range 1000 {
			status, answer := s.post(context.Background(), "/countersignatures", "application/json", body)
			if status == http.StatusCreated || status == http.StatusOK {
				s.good(answered{"pkg:npm/%40acme/" + name + "@" + version, content, answer})
				break
			}
			s.bad(status, answer)
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(rand.N(2 * soakPause))
	}
}

// runs has the callers at work for a time, and whatever goes on beside.
func (s *soak) runs(d time.Duration, names string, beside ...func(context.Context)) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var group sync.WaitGroup
	for id := range soakCallers {
		group.Go(func() { s.caller(ctx, fmt.Sprint(names, id)) })
	}
	for _, f := range beside {
		group.Go(func() { f(ctx) })
	}
	group.Wait()
}

// reboots has one HSM after the other go away for a second.
func (s *soak) reboots(ctx context.Context) {
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(soakTrouble):
		}
		m := s.hsms[s.agents[i%len(s.agents)]]
		m.Die(fault.DeviceRemoved)
		m.Reboot(fault.DeviceRemoved)
		time.Sleep(time.Second)
		m.Revive()
	}
}

// Steady load with trouble on all HSMs, and agents that start again in place: nothing grows, and no caller notices.
func TestSoak(t *testing.T) {
	s := newSoak(t)
	s.runs(*soakFor, "w", s.reboots, s.watch)
	soaked := s.goroutines()
	for _, name := range s.agents {
		s.startAgent(name)
	}
	s.startDaemon()
	s.running["daemon"] = s.processes["daemon"]
	s.runs(soakSample, "v")
	fresh := s.goroutines()
	if soaked > fresh+soakNoise {
		t.Errorf("the daemon has %d goroutines, and %d after a fresh start", soaked, fresh)
	}
	if len(s.errors) != 0 {
		t.Errorf("callers saw errors: %s", listErrors(s.errors))
	}
	for name, m := range s.hsms {
		if _, wrong := m.Logins(); wrong != 0 {
			t.Errorf("agent %s: the token saw %d wrong PINs", name, wrong)
		}
	}
	s.check()
	t.Logf("%s\ngoroutines of the daemon: %d at the end, %d after a fresh start", s.growth(), soaked, fresh)
}

// goroutines ends the daemon at once, which then says what it was at, and everything else in good order.
func (s *soak) goroutines() int {
	s.end("daemon", syscall.SIGQUIT)
	s.stop()
	n := strings.Count(s.running["daemon"].output.String(), "\ngoroutine ")
	if n == 0 {
		s.t.Fatal("the daemon did not say its goroutines")
	}
	return n
}
