package tpm_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"

	"countersign.dev/tpm"
	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"
)

func contains(b, secret []byte) bool { return bytes.Contains(b, secret) }

// onBus has the fixture's key opened through a proxy.
func onBus(t *testing.T) (*fixture, *proxy) {
	t.Helper()
	f := newFixture(t)
	p := newProxy(t, f.emulator)
	f.config.URI.Device = p.path
	return f, p
}

func TestBusCarriesNoSecret(t *testing.T) {
	f, p := onBus(t)
	pin := []byte(rightPIN)
	sealing := tpm.Sealing{Storage: f.storage, Appliance: "a", Approver: &f.approver.PublicKey, PIN: pin}
	if _, err := tpm.NewDevice(p.path, 0).Seal(t.Context(), sealing, f.seed); err != nil {
		t.Fatal(err)
	}
	f.unlocks()
	codes := map[tpm2.TPMCC]bool{}
	for _, e := range p.recorded() {
		codes[e.code()] = true
		if e.code() == tpm2.TPMCCStartAuthSession {
			checkSalted(t, e.command)
		}
	}
	for _, code := range []tpm2.TPMCC{tpm2.TPMCCCreate, tpm2.TPMCCLoad, tpm2.TPMCCUnseal} {
		if !codes[code] {
			t.Fatalf("the sniffer missed command %v", code)
		}
	}
	digest := sha256.Sum256(pin)
	for name, secret := range map[string][]byte{"the seed": f.seed, "half the seed": f.seed[:16], "the PIN": pin, "the PIN's digest": digest[:]} {
		if p.carried(secret) {
			t.Errorf("the bus carried %s", name)
		}
	}
}

// checkSalted: without a salt the keys of a session come from its nonces and the
// PIN, which leaves the PIN to guessing and the seed to whoever guessed it.
func checkSalted(t *testing.T, command []byte) {
	t.Helper()
	key, nonce := binary.BigEndian.Uint32(command[10:]), int(binary.BigEndian.Uint16(command[18:]))
	salt := int(binary.BigEndian.Uint16(command[20+nonce:]))
	if key != tpm.StorageHandle || nonce < 16 || salt < 64 {
		t.Errorf("a session on key %08x with %d bytes of nonce and %d of salt", key, nonce, salt)
	}
}

// TestSnifferSees is the positive control: the same proxy, the same secrets, and
// a sealing that takes no care.
func TestSnifferSees(t *testing.T) {
	f, p := onBus(t)
	bus := plainBus(t, p)
	object := sealPlainly(t, bus, f)
	r, err := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{Handle: object.Handle, Name: object.Name, Auth: tpm2.PasswordAuth([]byte(rightPIN))}}.Execute(bus)
	if err != nil || !bytes.Equal(r.OutData.Buffer, f.seed) {
		t.Fatal(err)
	}
	traffic := p.recorded()
	last := traffic[len(traffic)-1]
	if !contains(last.response, f.seed) || !contains(last.command, []byte(rightPIN)) {
		t.Fatal("the sniffer did not see an unprotected unsealing")
	}
}

func plainBus(t *testing.T, p *proxy) transport.TPM {
	t.Helper()
	bus, err := linuxudstpm.Open(p.path)
	if err != nil {
		t.Fatal(err)
	}
	return bus
}

// sealPlainly seals the fixture's seed by password, and loads it.
func sealPlainly(t *testing.T, bus transport.TPM, f *fixture) tpm2.NamedHandle {
	t.Helper()
	parent := tpm2.NamedHandle{Handle: tpm.StorageHandle, Name: tpm2.TPM2BName{Buffer: f.storage.Name()}}
	made, err := tpm2.Create{
		ParentHandle: parent,
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
			UserAuth: tpm2.TPM2BAuth{Buffer: []byte(rightPIN)},
			Data:     tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: f.seed}),
		}},
		InPublic: tpm2.New2B(tpm2.TPMTPublic{
			Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
			ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, UserWithAuth: true},
		}),
	}.Execute(bus)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := tpm2.Load{ParentHandle: parent, InPrivate: made.OutPrivate, InPublic: made.OutPublic}.Execute(bus)
	if err != nil {
		t.Fatal(err)
	}
	return tpm2.NamedHandle{Handle: loaded.ObjectHandle, Name: loaded.Name}
}

// TestFlippedBytes flips one byte of each answer, at many places. What the bus
// says of loading and unsealing must be refused; what is only looked at first
// may be harmless, but never gives another seed.
func TestFlippedBytes(t *testing.T) {
	f, p := onBus(t)
	f.unlocks() // the first time after a start, the TPM asks for the unsealing twice
	p.record(nil)
	f.unlocks()
	traffic := p.recorded()
	authentic := []tpm2.TPMCC{tpm2.TPMCCStartAuthSession, tpm2.TPMCCLoad, tpm2.TPMCCUnseal}
	flips := 0
	for n, e := range traffic {
		places := []int{0, 5, 9, 10, 13, 14, 16, len(e.response) / 2, len(e.response) - 33, len(e.response) - 1}
		slices.Sort(places)
		for _, i := range slices.Compact(places) {
			if i < 0 || i >= len(e.response) {
				continue
			}
			f.resetLockout()
			p.record(flip(n, i))
			seed, err := f.unseal()
			flips++
			if err == nil && !bytes.Equal(seed, f.seed) {
				t.Fatalf("%v: byte %d flipped: another seed", e.code(), i)
			}
			if err == nil && slices.Contains(authentic, e.code()) {
				t.Errorf("answer %d (command %x): byte %d of %d flipped and nobody noticed", n, uint32(e.code()), i, len(e.response))
			}
		}
	}
	if flips < 100 {
		t.Fatalf("only %d bytes flipped", flips)
	}
	p.record(nil)
	f.resetLockout()
	f.unlocks()
	if n := f.loaded(); n != 0 {
		t.Fatalf("%d handles left", n)
	}
}

// flip changes byte i of answer n. Where a longer answer is promised then, none
// comes.
func flip(n, i int) func(int, []byte, []byte) []byte {
	return func(at int, _, response []byte) []byte {
		response = slices.Clone(response)
		if at == n && i < len(response) {
			response[i] ^= 1
			if size := binary.BigEndian.Uint32(response[2:]); int(size) > len(response) {
				return response[:0]
			}
		}
		return response
	}
}

// TestFlippedUnsealing flips every byte of the answer that carries the seed.
func TestFlippedUnsealing(t *testing.T) {
	f, p := onBus(t)
	f.unlocks() // the first time after a start, the TPM asks for the unsealing twice
	p.record(nil)
	f.unlocks()
	traffic := p.recorded()
	n := slices.IndexFunc(traffic, func(e exchange) bool { return e.code() == tpm2.TPMCCUnseal })
	for i := 10; i < len(traffic[n].response); i++ {
		p.record(flip(n, i))
		if seed, err := f.unseal(); !errors.Is(err, tpm.ErrTampered) || seed != nil {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
}

// TestFlippedCommands: the TPM notices what was changed on the way to it.
func TestFlippedCommands(t *testing.T) {
	f, p := onBus(t)
	for _, code := range []tpm2.TPMCC{tpm2.TPMCCStartAuthSession, tpm2.TPMCCLoad, tpm2.TPMCCUnseal} {
		for _, place := range []int{18, 24, 40, 60, -1} {
			changed := false
			p.changing(func(next tpm2.TPMCC, command []byte) {
				i := place
				if i < 0 {
					i += len(command)
				}
				if next == code && i < len(command) { // again if the TPM wants it again
					command[i] ^= 1
					changed = true
				}
			})
			if seed, err := f.unseal(); err == nil || seed != nil || !changed {
				t.Errorf("command %x, byte %d: %v, changed %v", uint32(code), place, err, changed)
			}
			f.resetLockout()
		}
	}
}

// TestStateChangesDuringUnlock: what was true when it was looked at is not true
// any more when the policy is run, or has been.
func TestStateChangesDuringUnlock(t *testing.T) {
	for _, code := range []tpm2.TPMCC{tpm2.TPMCCLoad, tpm2.TPMCCPolicyNV, tpm2.TPMCCUnseal} {
		f, p := onBus(t)
		p.meanwhile(func(next tpm2.TPMCC, bus transport.TPM) {
			if next == code {
				extend(t, bus, 11)
			}
		})
		refuses[*tpm.PCRError](f)
	}
	f, p := onBus(t)
	p.meanwhile(func(next tpm2.TPMCC, bus transport.TPM) {
		if next == tpm2.TPMCCPolicyPCR {
			advance(t, bus)
		}
	})
	refuses[*tpm.RollbackError](f)
}

func TestHungTPM(t *testing.T) {
	f, p := onBus(t)
	d := tpm.NewDevice(p.path, 500*time.Millisecond)
	f.config.Device = d
	p.record(func(int, []byte, []byte) []byte { return nil })
	for range 4 {
		begin := time.Now()
		f.refusesWith(tpm.ErrBusy)
		if time.Since(begin) > 30*time.Second {
			t.Fatal("a hung TPM held its caller")
		}
	}
	p.record(nil)
	deadline := time.Now().Add(time.Minute)
	for {
		seed, err := f.unseal()
		if err == nil && bytes.Equal(seed, f.seed) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no recovery: %v", err)
		}
	}
}
