package test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign.dev/test/fault"
	"countersign.dev/test/remote"
)

// trouble is what happens to the HSM of agent a while callers go on publishing.
type trouble struct {
	name   string
	begin  func(*rig)
	lasts  time.Duration
	end    func(*rig) // the device is back; nil: as soon as there are no faults any more
	byHand func(*rig) // what an operator must do then; nil if nothing
	pins   int        // wrong PINs that the token sees
}

var troubles = []trouble{
	{name: "reboot", lasts: time.Second,
		begin: func(r *rig) { r.hsm.Die(fault.DeviceRemoved); r.hsm.Reboot(fault.DeviceRemoved) },
		end:   func(r *rig) { r.hsm.Revive() }},
	{name: "away for 12 s", lasts: 12 * time.Second,
		begin: func(r *rig) { r.hsm.Die(fault.TokenNotPresent); r.hsm.Reboot(fault.DeviceRemoved) },
		end:   func(r *rig) { r.hsm.Revive() }},
	{name: "stale until C_Finalize", lasts: 500 * time.Millisecond,
		begin: func(r *rig) { r.hsm.Stale(fault.DeviceError) }},
	{name: "token directory away", lasts: time.Second,
		begin: func(r *rig) { must(r.t, os.Rename(r.token, r.path("pulled"))) },
		end:   func(r *rig) { must(r.t, os.Rename(r.path("pulled"), r.token)) }},
	{name: "1 % CKR_FUNCTION_FAILED", lasts: 2 * time.Second,
		begin: func(r *rig) { r.hsm.FailOften("C_Sign", fault.FunctionFailed, 100) }},
	{name: "CKR_DEVICE_REMOVED in a batch", lasts: 500 * time.Millisecond,
		begin: func(r *rig) { r.hsm.Fail("C_Sign", fault.DeviceRemoved, 0, 1) }},
	{name: "CKR_OPERATION_ACTIVE once", lasts: 500 * time.Millisecond,
		begin: func(r *rig) { r.hsm.Fail("C_SignInit", fault.OperationActive, 0, 1) }},
	{name: "C_Sign hangs for 2 s", lasts: 2 * time.Second,
		begin: func(r *rig) { r.hsm.HangFor("C_Sign", 2*time.Second, 1) }},
	{name: "one C_Sign hangs for ever", lasts: 4 * time.Second,
		begin: func(r *rig) { r.hsm.HangFor("C_Sign", time.Hour, 1) },
		end:   func(*rig) {}},
	{name: "every C_Sign hangs", lasts: 8 * time.Second,
		begin: func(r *rig) { r.hsm.Hang("C_Sign") }},
	{name: "session cap 1", lasts: time.Second,
		begin: func(r *rig) { r.hsm.SessionCap(1); r.hsm.Reboot(fault.SessionHandleInvalid) }},
	{name: "corrupted signature", lasts: time.Second,
		begin:  func(r *rig) { r.hsm.Corrupt(1) },
		byHand: func(r *rig) { r.startAgain() }},
	{name: "wrong PIN", lasts: time.Second, pins: 1,
		begin: func(r *rig) {
			r.pin = r.read("pins/log-a.pin")
			r.write("pins/log-a.pin", "wrong-pin\n")
			r.hsm.Reboot(fault.UserNotLoggedIn)
		},
		byHand: func(r *rig) { r.write("pins/log-a.pin", r.pin); r.startAgain() }},
}

// killed is the trouble of a remote HSM.
var killed = trouble{name: "remote worker kill -9", lasts: time.Second,
	begin: func(r *rig) { r.remote.Kill() },
	end:   func(r *rig) { r.remote.Start() }}

// maxGap leaves room for a machine that stops for a moment; a gap here is tens of milliseconds.
const maxGap = 4 * time.Second

// rig is an appliance under steady load, whose agent a has an HSM that fails on demand.
type rig struct {
	*load
	hsm        *fault.Module
	token, pin string

	mu     sync.Mutex
	errors map[string]int
	times  []time.Time // of good answers
}

func newRig(t *testing.T, agents ...string) *rig {
	a := unused(t, (len(agents)+1)/2, agents...)
	r := &rig{load: &load{appliance: a}, hsm: a.faulty("a"), token: a.tokenDir("log-a")}
	timeout := "5s" // longer than maxGap: nobody waits for agent a
	if len(agents) == 1 {
		timeout = "2s"
	}
	r.configureAgent("a", "[[log]]", fmt.Sprintf("call_timeout = %q\n[[log]]", timeout))
	a.startAll()
	return r
}

// newRemoteRig has the HSM of agent a in a process of its own.
func newRemoteRig(t *testing.T, agents ...string) *rig {
	far := remote.New(t)
	a := &appliance{t: t, dir: t.TempDir(), agents: agents, processes: make(map[string]*process), remote: far}
	a.make((len(agents) + 1) / 2)
	a.startAll()
	return &rig{load: &load{appliance: a}, hsm: far.Module}
}

// outbox is one caller: it sends a publication until the answer is good.
func (r *rig) outbox(ctx context.Context, id int) {
	for n := 0; ctx.Err() == nil; n++ {
		name, version, content := fmt.Sprintf("@acme/w%d", id), fmt.Sprintf("1.0.%d", n), fmt.Sprintf("content %d", n)
		body := r.request(name, version, content)
		for ctx.Err() == nil {
			status, answer := r.post(ctx, "/countersignatures", "application/json", body)
			if status == http.StatusCreated || status == http.StatusOK {
				r.good(answered{fmt.Sprintf("pkg:npm/%%40acme/w%d@%s", id, version), content, answer})
				break
			}
			if ctx.Err() == nil {
				r.bad(status, answer)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

func (r *rig) good(a answered) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers = append(r.answers, a)
	r.times = append(r.times, time.Now())
}

// bad counts an error by status and code; what is logged already, and so only not signed yet, is told apart.
func (r *rig) bad(status int, answer []byte) {
	what := fmt.Sprint(status)
	if _, after, ok := strings.Cut(string(answer), "urn:countersign:error:"); ok {
		what += " " + after[:strings.IndexByte(after, '"')]
	}
	if strings.Contains(string(answer), `"logged":true`) {
		what += " (logged)"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors[what]++
}

// next waits for a good answer to come after a moment, and says how much later it came.
func (r *rig) next(after time.Time) time.Duration {
	for range 9000 {
		r.mu.Lock()
		last := len(r.times) - 1
		for last >= 0 && r.times[last].After(after) {
			last--
		}
		if last+1 < len(r.times) {
			defer r.mu.Unlock()
			return r.times[last+1].Sub(after)
		}
		r.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
	}
	r.t.Fatalf("no good answer for a minute; errors %v; agents %v", r.errors, r.phases())
	return 0
}

// gap is the longest time without a good answer since a moment.
func (r *rig) gap(since time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	longest := time.Duration(0)
	for i := len(r.times) - 1; i > 0 && r.times[i].After(since); i-- {
		longest = max(longest, r.times[i].Sub(r.times[i-1]))
	}
	return longest
}

// startAgain is what an operator does with an agent that stopped for good, once the reason is gone.
func (r *rig) startAgain() {
	r.t.Helper()
	r.hsm.Clear()
	r.mu.Lock()
	p := r.processes["a"]
	r.mu.Unlock()
	r.ends(p, 78)
	r.startAgent("a")
	if r.phases()["a"] == "stopped" {
		r.mustAdmin("return", "a")
	}
}

// mustAdmin asks the daemon's admin socket for something to be done with an agent.
func (a *appliance) mustAdmin(verb, agent string) {
	a.t.Helper()
	resp, err := a.admin().Post("http://admin/v1/registries/"+registry+"/agents/"+agent+"/"+verb, "", nil)
	must(a.t, err)
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		a.t.Fatalf("%s %s: %s", verb, agent, resp.Status)
	}
}

// passes puts the rig through one trouble and gives a line of the table.
func (r *rig) passes(tr trouble) string {
	r.t.Helper()
	alone := len(r.agents) == 1
	r.next(time.Now().Add(500 * time.Millisecond))
	r.mu.Lock()
	r.errors = map[string]int{}
	r.mu.Unlock()
	_, wrong := r.hsm.Logins()

	began := time.Now()
	tr.begin(r)
	time.Sleep(tr.lasts)
	back := time.Now()
	if tr.end != nil {
		tr.end(r)
	} else if tr.byHand == nil {
		r.hsm.Clear()
	}
	if !alone {
		r.next(time.Now().Add(500 * time.Millisecond))
	}
	if tr.byHand != nil {
		tr.byHand(r)
		back = time.Now()
	}
	recovered := r.next(back)
	r.waitPhase("a", "active")
	r.mu.Lock()
	errors := maps.Clone(r.errors)
	r.mu.Unlock()
	_, after := r.hsm.Logins()
	if after-wrong != tr.pins {
		r.t.Errorf("%s: the token saw %d wrong PINs, want %d", tr.name, after-wrong, tr.pins)
	}
	gap := r.gap(began.Add(-100 * time.Millisecond))
	if recovered > 5*time.Second {
		r.t.Errorf("%s: %s from the device's return to the next good answer", tr.name, recovered)
	}
	if !alone && (gap > maxGap || len(errors) > 0) {
		r.t.Errorf("%s: with two good agents of three there was a gap of %s, and errors %v", tr.name, gap, errors)
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %d |", tr.name, recovered.Round(time.Millisecond), gap.Round(time.Millisecond), listErrors(errors), after-wrong)
}

func listErrors(errors map[string]int) string {
	var list []string
	for _, what := range slices.Sorted(maps.Keys(errors)) {
		list = append(list, fmt.Sprintf("%d × %s", errors[what], what))
	}
	if list == nil {
		return "none"
	}
	return strings.Join(list, ", ")
}

// Every trouble an HSM can make, under steady load, with one agent and with two of three: nothing is lost, doubled or
// wrongly signed, and all goes on by itself unless it must not. The table is docs/hsm.md's.
func TestTroubles(t *testing.T) {
	for name, agents := range settings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newRig(t, agents...).suffers(name, troubles...)
		})
	}
}

func TestTroubles_RemoteHSM(t *testing.T) {
	for name, agents := range settings {
		t.Run(name, func(t *testing.T) { newRemoteRig(t, agents...).suffers(name, killed, killed) })
	}
}

var settings = map[string][]string{"1 of 1": {"a"}, "2 of 3": {"a", "b", "c"}}

// suffers goes through troubles under load and prints the table.
func (r *rig) suffers(setting string, troubles ...trouble) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var group sync.WaitGroup
	for id := range 8 {
		group.Go(func() { r.outbox(ctx, id) })
	}
	table := "\n| " + setting + " | good again after | longest gap | errors callers saw | wrong PINs |"
	for _, tr := range troubles {
		table += "\n" + r.passes(tr)
	}
	cancel()
	group.Wait()
	r.stop()
	r.check()
	r.t.Log(table)
}
