package test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"countersign.dev/hsm"
	"countersign.dev/signer"
)

// The benchmarks run the real daemon with three agents over SoftHSM, two of which must sign, and compare in the same run
// with what cannot be avoided: one crypto/ed25519 verification per item, one hardware operation and two fsyncs per answer.

// verification is the time of one crypto/ed25519 verification on one core, the median of many.
func verification(b *testing.B) time.Duration {
	public, private, err := ed25519.GenerateKey(nil)
	must(b, err)
	message := make([]byte, 1024)
	sig := ed25519.Sign(private, message)
	return median(sample(200, func() {
		for range 10 {
			if !ed25519.Verify(public, message, sig) {
				b.Fatal("verify")
			}
		}
	})) / 10
}

func sample(n int, f func()) []time.Duration {
	out := make([]time.Duration, n)
	for i := range out {
		start := time.Now()
		f()
		out[i] = time.Since(start)
	}
	slices.Sort(out)
	return out
}

func median(sorted []time.Duration) time.Duration { return sorted[len(sorted)/2] }

func percentile99(sorted []time.Duration) time.Duration { return sorted[len(sorted)*99/100] }

// cpu is the processor time of the daemon and the agents so far (proc(5): utime and stime, in ticks of 10 ms).
func (a *appliance) cpu() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	var ticks int64
	for _, p := range a.processes {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Process.Pid))
		must(a.t, err)
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		for _, i := range []int{11, 12} {
			n, err := strconv.ParseInt(fields[i], 10, 64)
			must(a.t, err)
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// BenchmarkBatch sends batches of 1000 new publications, two at a time.
func BenchmarkBatch(b *testing.B) {
	a := newAppliance(b, 2, "a", "b", "c")
	bodies := make([][]byte, 20)
	for i := range bodies {
		for j := range 1000 {
			line := a.request("@acme/batch", fmt.Sprintf("%d.%d.0", i, j), "content")
			bodies[i] = append(append(append(bodies[i], `{"ref":"r",`...), line[1:]...), '\n')
		}
	}
	verify := verification(b)
	before, start := a.cpu(), time.Now()
	var next atomic.Int64
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(bodies)); i = next.Add(1) - 1 {
				status, answer := a.post(context.Background(), "/countersignatures:batch", "application/x-ndjson", bodies[i])
				if status != http.StatusOK || bytes.Count(answer, []byte(`"status":201`)) != 1000 {
					b.Errorf("batch %d: %d %.300s", i, status, answer)
				}
			}
		})
	}
	group.Wait()
	items := float64(len(bodies) * 1000)
	took, used := time.Since(start), a.cpu()-before
	verify = (verify + verification(b)) / 2
	b.ReportMetric(items/took.Seconds(), "items/s")
	b.ReportMetric(float64(used.Microseconds())/items, "cpu-us/item")
	b.ReportMetric(float64(verify.Microseconds()), "verify-us")
	b.ReportMetric(float64(used)/items/float64(verify), "cpu/verify")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkSingle sends single requests from 64 clients at once.
func BenchmarkSingle(b *testing.B) {
	a := newAppliance(b, 2, "a", "b", "c")
	bodies := make([][]byte, 6400)
	for i := range bodies {
		bodies[i] = a.request("@acme/single", fmt.Sprintf("1.%d.0", i), "content")
	}
	verify := verification(b)
	first := a.state()
	before, start := a.cpu(), time.Now()
	var next atomic.Int64
	var group sync.WaitGroup
	latencies := make([][]time.Duration, 64)
	for c := range latencies {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(bodies)); i = next.Add(1) - 1 {
				sent := time.Now()
				if status, answer := a.post(context.Background(), "/countersignatures", "application/json", bodies[i]); status != http.StatusCreated {
					b.Errorf("%d %.300s", status, answer)
				}
				latencies[c] = append(latencies[c], time.Since(sent))
			}
		})
	}
	group.Wait()
	took, used, last := time.Since(start), a.cpu()-before, a.state()
	verify = (verify + verification(b)) / 2
	all := slices.Sorted(slices.Values(slices.Concat(latencies...)))
	b.ReportMetric(float64(len(bodies))/took.Seconds(), "items/s")
	b.ReportMetric(float64(used)/float64(len(bodies))/float64(verify), "cpu/verify")
	b.ReportMetric(float64(last.Counts.Entries-first.Counts.Entries)/float64(last.Counts.Checkpoints-first.Counts.Checkpoints), "items/hardware-op")
	b.ReportMetric(float64(median(all).Microseconds()), "p50-us")
	b.ReportMetric(float64(percentile99(all).Microseconds()), "p99-us")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkIdle sends one request at a time, and compares with the bare token and the bare disk. The tokens are software:
// three of them share the processors with everything else.
func BenchmarkIdle(b *testing.B) {
	b.Run("1 of 1", func(b *testing.B) { benchmarkIdle(b, newAppliance(b, 1, "a")) })
	b.Run("2 of 3", func(b *testing.B) { benchmarkIdle(b, newAppliance(b, 2, "a", "b", "c")) })
}

func benchmarkIdle(b *testing.B, a *appliance) {
	b.Setenv("SOFTHSM2_CONF", a.path("softhsm2.conf"))
	bodies := make([][]byte, 500)
	for i := range bodies {
		bodies[i] = a.request("@acme/idle", fmt.Sprintf("1.%d.0", i), "content")
	}
	idle := sample(len(bodies), func() {
		body := bodies[0]
		bodies = bodies[1:]
		if status, answer := a.post(context.Background(), "/countersignatures", "application/json", body); status != http.StatusCreated {
			b.Fatalf("%d %.300s", status, answer)
		}
	})
	u, err := hsm.ParseURI(fmt.Sprintf("pkcs11:token=log-a;object=log-1?module-path=%s&pin-source=file:%s", module, a.path("pins/log-a.pin")))
	must(b, err)
	key, err := hsm.Open(context.Background(), hsm.Config{URI: u, PublicKey: a.identity.Open().Keys[0].PublicKey.Ed25519()})
	must(b, err)
	defer key.Close()
	hardware := median(sample(200, func() {
		_, err := key.SignMessage(nil, []byte("\x00benchmark"), crypto.Hash(0))
		must(b, err)
	}))
	sync := median(a.fsyncs())
	bare := hardware + 2*sync
	b.ReportMetric(float64(median(idle).Microseconds()), "p50-us")
	b.ReportMetric(float64(percentile99(idle).Microseconds()), "p99-us")
	b.ReportMetric(float64(hardware.Microseconds()), "hardware-us")
	b.ReportMetric(float64(sync.Microseconds()), "fsync-us")
	b.ReportMetric(float64(median(idle))/float64(bare), "p50/bare")
	b.ReportMetric(float64((median(idle) - bare).Microseconds()), "p50-over-bare-us")
	b.ReportMetric(0, "ns/op")
}

// fsyncs times an append and fsync of one record beside the ledger.
func (a *appliance) fsyncs() []time.Duration {
	f, err := os.OpenFile(a.path("fsync"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	must(a.t, err)
	defer f.Close()
	record := make([]byte, 1500)
	return sample(200, func() {
		_, err := f.Write(record)
		must(a.t, err)
		must(a.t, syscall.Fdatasync(int(f.Fd())))
	})
}

// state is what the admin socket says of the registry.
func (a *appliance) state() signer.Status {
	a.t.Helper()
	r, err := a.admin().Get("http://admin/v1/state")
	must(a.t, err)
	defer r.Body.Close()
	var body struct {
		Registries []signer.Status `json:"registries"`
	}
	must(a.t, json.UnmarshalRead(r.Body, &body))
	return body.Registries[0]
}
