package test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign.dev/hsm"
	"countersign.dev/test/fault"
)

// BenchmarkDevice runs the real programs over a device that works on one signature at a time and takes 1, 10 or 100 ms
// for it. In theory the device does not limit what is countersigned in batches; a lone request takes one operation, one
// under load takes 1.5 in the median and 2 at most. Beside it the same device signs item by item.
//
// For 100 ms not to limit, what is under way must be worth two operations and the work before and after: at 15,000 a
// second some 6,000 items. That is more than the four batches of 1,000 that one caller may have, and less than those of two.
func BenchmarkDevice(b *testing.B) {
	for _, latency := range []time.Duration{time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond} {
		b.Run(latency.String(), func(b *testing.B) {
			d := newDevice(b, latency, 1, "a")
			batched := d.batched()
			d.single()
			d.itemByItem(batched)
		})
	}
	b.Run("10ms, 2 of 3", func(b *testing.B) {
		d := newDevice(b, 10*time.Millisecond, 2, "a", "b", "c")
		d.batched()
		d.single()
	})
}

// device is an appliance whose agents' tokens take their time.
type device struct {
	*appliance
	second  *appliance // the same for another caller
	b       *testing.B
	latency time.Duration
}

func newDevice(b *testing.B, latency time.Duration, m int, agents ...string) *device {
	a := unused(b, m, agents...)
	for _, name := range agents {
		slow(a.faulty(name), latency, 1)
	}
	second := a.anotherCaller()
	a.startAll()
	b.ReportMetric(0, "ns/op")
	return &device{a, second, b, latency}
}

// anotherCaller gives the appliance a second caller, before it is started, and is what that one sees.
func (a *appliance) anotherCaller() *appliance {
	pair := a.certificate("client2")
	transport := a.client.Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.Certificates = []tls.Certificate{pair}
	a.write("countersignd.toml", a.read("countersignd.toml")+fmt.Sprintf("[[caller]]\nname = \"another\"\nkeys = [\"sha256:%x\"]\n[[caller.grant]]\nregistry = %q\nroles = [\"publish\"]\n",
		sha256.Sum256(pair.Leaf.RawSubjectPublicKeyInfo), registry))
	return &appliance{t: a.t, dir: a.dir, url: a.url, client: &http.Client{Transport: transport}}
}

func slow(m *fault.Module, latency time.Duration, engines int) {
	m.Latency(latency)
	m.Engines(engines)
}

const (
	deviceLines    = 4 // of batches, for each caller
	deviceBatches  = 5 // of 1000, in each line
	deviceAlone    = 50
	deviceRequests = 800
	deviceRate     = 250 // a second
)

// batched has two callers send lines of batches, one after another in each, and gives the items a second. A line's time
// counts from its first answer to its last: in between all are at it.
func (d *device) batched() (rate float64) {
	bodies := make([][]byte, 2*deviceLines*deviceBatches)
	for i := range bodies {
		bodies[i] = d.batch(i)
	}
	first, used := d.state().Counts, d.cpu()
	rates := make(chan float64, 2*deviceLines)
	lines := 0
	for line := range slices.Chunk(bodies, deviceBatches) {
		caller := []*appliance{d.appliance, d.second}[lines%2]
		go func() { rates <- caller.sendLine(line) }()
		lines++
	}
	for range lines {
		rate += <-rates
	}
	last := d.state().Counts
	used = d.cpu() - used
	d.b.ReportMetric(rate, "items/s")
	d.b.ReportMetric(float64(used.Microseconds())/float64(len(bodies)*1000), "cpu-us/item")
	d.b.ReportMetric(float64(last.Entries-first.Entries)/float64(last.Checkpoints-first.Checkpoints), "items/op")
	return rate
}

func (a *appliance) sendLine(batches [][]byte) (rate float64) {
	var began time.Time
	for i, body := range batches {
		status, answer := a.post(context.Background(), "/countersignatures:batch", "application/x-ndjson", body)
		if status != http.StatusOK || bytes.Count(answer, []byte(`"status":201`)) != 1000 {
			a.t.Errorf("%d %.300s", status, answer)
		}
		if i == 0 {
			began = time.Now()
		}
	}
	return 1000 * float64(len(batches)-1) / time.Since(began).Seconds()
}

// batch is 1000 publications.
func (d *device) batch(major int) (body []byte) {
	for minor := range 1000 {
		line := d.request("@acme/batch", fmt.Sprintf("%d.%d.0", major, minor), "content")
		body = append(append(append(body, `{"ref":"r",`...), line[1:]...), '\n')
	}
	return body
}

// single reports how long single requests take, one at a time and at random moments, counted from when they were due.
func (d *device) single() {
	bodies := make([][]byte, deviceAlone+deviceRequests)
	for i := range bodies {
		bodies[i] = d.request("@acme/single", fmt.Sprintf("1.%d.0", i), "content")
	}
	idle := sample(deviceAlone, func() {
		d.publish(bodies[0])
		bodies = bodies[1:]
	})
	times := make([]time.Duration, len(bodies))
	var group sync.WaitGroup
	due := time.Now()
	for i, body := range bodies {
		due = due.Add(time.Duration(rand.ExpFloat64() * float64(time.Second) / deviceRate))
		time.Sleep(time.Until(due))
		was := due
		group.Go(func() {
			d.publish(body)
			times[i] = time.Since(was)
		})
	}
	group.Wait()
	slices.Sort(times)
	for name, took := range map[string]time.Duration{"idle": median(idle), "p50": median(times), "p99": percentile99(times)} {
		d.b.ReportMetric(float64(took)/float64(d.latency), name+"-in-ops")
	}
	d.b.ReportMetric(float64(median(times))/float64(median(idle)), "p50/idle")
	d.b.ReportMetric(float64(percentile99(times))/float64(median(idle)), "p99/idle")
}

func (d *device) publish(body []byte) {
	status, answer := d.post(context.Background(), "/countersignatures", "application/json", body)
	if status != http.StatusCreated {
		d.b.Errorf("%d %.300s", status, answer)
	}
}

// itemByItem reports what the same device does where each item has its own signature, and how much more the batches gave.
func (d *device) itemByItem(batched float64) {
	d.b.Setenv("SOFTHSM2_CONF", d.path("softhsm2.conf"))
	m := fault.New(d.b, module)
	u, err := hsm.ParseURI(fmt.Sprintf("pkcs11:token=log-a;object=log-1?module-path=%s&pin-source=file:%s", m.Path, d.path("pins/log-a.pin")))
	must(d.b, err)
	for _, n := range []struct {
		sessions, engines int
		name              string
	}{{1, 1, "1x1"}, {8, 1, "8x1"}, {8, 8, "8x8"}} {
		slow(m, d.latency, n.engines)
		key, err := hsm.Open(context.Background(), hsm.Config{URI: u, PublicKey: d.identity.Open().Keys[0].PublicKey.Ed25519(), Sessions: n.sessions})
		must(d.b, err)
		rate := signedPerSecond(d.b, key, n.sessions)
		must(d.b, key.Close())
		d.b.ReportMetric(rate, n.name+"-items/s")
		d.b.ReportMetric(batched/rate, "batched/"+n.name)
	}
}

// signedPerSecond signs for a second; every signature is verified by the key.
func signedPerSecond(b *testing.B, key *hsm.Key, atOnce int) float64 {
	var signed atomic.Int64
	var group sync.WaitGroup
	message := []byte("\x00benchmark")
	start := time.Now()
	for range atOnce {
		group.Go(func() {
			for time.Since(start) < time.Second {
				if _, err := key.SignMessage(nil, message, crypto.Hash(0)); err != nil {
					b.Error(err)
					return
				}
				signed.Add(1)
			}
		})
	}
	group.Wait()
	return float64(signed.Load()) / time.Since(start).Seconds()
}
