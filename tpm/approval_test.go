package tpm_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"countersign.dev/tpm"
	"github.com/google/go-tpm/tpm2"
)

func TestChangedStateNeedsApproval(t *testing.T) {
	f := newFixture(t)
	before := f.policy()
	f.extend(11)
	e := refuses[*tpm.PCRError](f)
	after := f.policy()
	if len(e.Changed) != 1 || e.Changed[0].Index != 11 || !bytes.Equal(e.Changed[0].Expected, before.PCRs[11]) || !bytes.Equal(e.Changed[0].Found, after.PCRs[11]) {
		t.Fatalf("%+v", e.Changed)
	}
	if !strings.Contains(e.Error(), "PCR 11") {
		t.Error(e)
	}
	f.approve(after, time.Hour)
	f.unlocks()
	f.restart() // back in the old state
	refuses[*tpm.PCRError](f)
	f.writeApprovals(f.signed(after, time.Hour), f.signed(before, time.Hour))
	f.unlocks()
}

func TestStaleCounter(t *testing.T) {
	f := newFixture(t)
	old := f.policy()
	next, err := f.device().Advance(t.Context(), nil)
	if err != nil || next != old.Limit+1 {
		t.Fatalf("%d after %d, %v", next, old.Limit, err)
	}
	if e := refuses[*tpm.RollbackError](f); e.Counter != next || e.Limit != old.Limit {
		t.Fatalf("%+v", e)
	}
	f.approve(f.policy(), time.Hour)
	f.unlocks()
	f.approve(old, time.Hour) // the old approval stays void
	refuses[*tpm.RollbackError](f)
	f.writeApprovals(f.signed(old, time.Hour), f.signed(f.policy(), time.Hour))
	f.unlocks()

	ahead := f.policy() // good before and after the next step
	ahead.Limit++
	f.approve(ahead, time.Hour)
	f.unlocks()
	if _, err := f.device().Advance(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	f.unlocks()
}

func TestBadApprovals(t *testing.T) {
	f := newFixture(t)
	now := f.policy()
	other := maps.Clone(now.PCRs)
	other[11] = bytes.Repeat([]byte{9}, 32)
	stranger, err := tpm.Approve(newApproverKey(t), f.sealed.Ref(), now, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := tpm.Approve(f.approver, f.seal("appliance-2").Ref(), now, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	renamed := elsewhere
	renamed.Ref = f.sealed.Ref()
	forState := f.signed(tpm.Policy{PCRs: other, Limit: now.Limit}, time.Hour)
	forState.PCRs = now.PCRs
	raised := f.signed(now, time.Hour)
	raised.Limit++
	prolonged := f.signed(now, -time.Hour)
	prolonged.NotAfter = prolonged.NotAfter.Add(2 * time.Hour)
	mixed := f.signed(now, time.Hour)
	mixed.TPMSignature = mixed.Signature
	damaged := f.signed(now, time.Hour)
	damaged.TPMSignature = bytes.Clone(damaged.TPMSignature)
	damaged.TPMSignature[len(damaged.TPMSignature)-1] ^= 1
	for name, test := range map[string]struct {
		approval tpm.Approval
		fault    tpm.ApprovalFault
	}{
		"by another approver":   {stranger, tpm.ApprovalForged},
		"for another appliance": {elsewhere, tpm.ApprovalForeign},
		"renamed":               {renamed, tpm.ApprovalForged},
		"for another state":     {forState, tpm.ApprovalForged},
		"with a raised limit":   {raised, tpm.ApprovalForged},
		"prolonged":             {prolonged, tpm.ApprovalForged},
		"signatures mixed":      {mixed, tpm.ApprovalForged},
		"damaged":               {damaged, tpm.ApprovalForged},
		"expired":               {f.signed(now, -time.Minute), tpm.ApprovalExpired},
	} {
		f.writeApprovals(test.approval)
		if e := refuses[*tpm.ApprovalError](f); e.Fault != test.fault {
			t.Errorf("%s: %v", name, e)
		}
	}
	f.writeApprovals(stranger, elsewhere, damaged, f.signed(now, time.Hour))
	f.unlocks()
	if got := f.failures().Failures; got != 0 {
		t.Errorf("bad approvals cost %d attempts", got)
	}
}

func TestApproveRefuses(t *testing.T) {
	ref, when := make([]byte, 32), time.Now().Add(time.Hour)
	good := tpm.Policy{PCRs: tpm.PCRs{7: make([]byte, 32)}, Limit: 1}
	key := newApproverKey(t)
	if _, err := tpm.Approve(key, ref, good, when); err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]tpm.Policy{
		"no PCR":          {Limit: 1},
		"PCR 24":          {PCRs: tpm.PCRs{24: make([]byte, 32)}},
		"PCR 16":          {PCRs: tpm.PCRs{16: make([]byte, 32)}},
		"PCR 23":          {PCRs: tpm.PCRs{7: make([]byte, 32), 23: make([]byte, 32)}},
		"a SHA-1 value":   {PCRs: tpm.PCRs{7: make([]byte, 20)}},
		"boundless limit": {PCRs: good.PCRs, Limit: 1 << 63},
	} {
		if _, err := tpm.Approve(key, ref, p, when); err == nil {
			t.Errorf("%s: approved", name)
		}
	}
	if _, err := tpm.Approve(key, ref[1:], good, when); err == nil {
		t.Error("a short reference: approved")
	}
	if _, err := tpm.Approve(key, ref, good, time.Time{}); err == nil {
		t.Error("without expiry: approved")
	}
	_, ed, _ := ed25519.GenerateKey(nil)
	if _, err := tpm.Approve(ed, ref, good, when); err == nil {
		t.Error("by an Ed25519 key: approved")
	}
	if _, err := tpm.Approve(fickle{key, newApproverKey(t)}, ref, good, when); err == nil {
		t.Error("by a key that signs with another: approved")
	}
	larger, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tpm.Approve(larger, ref, good, when); err == nil {
		t.Error("by a P-384 key: approved")
	}
}

// fickle shows one key and signs with another.
type fickle struct{ shown, used *ecdsa.PrivateKey }

func (f fickle) Public() crypto.PublicKey { return f.shown.Public() }

func (f fickle) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return f.used.Sign(r, digest, opts)
}

func TestParseApprovalsRefuses(t *testing.T) {
	a, err := tpm.Approve(newApproverKey(t), make([]byte, 32), tpm.Policy{PCRs: tpm.PCRs{7: make([]byte, 32)}, Limit: 3}, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	good := string(tpm.FormatApprovals([]tpm.Approval{a}))
	if list, err := tpm.ParseApprovals([]byte(good)); err != nil || !reflect.DeepEqual(list, []tpm.Approval{a}) {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, change := range [][2]string{
		{`"version": 1`, `"version": 2`}, {`"limit": 3`, `"limit": "3"`}, {`"limit": 3`, `"limit": 3, "more": 1`},
		{`"7":`, `"07":`}, {`"7":`, `"24":`}, {`"7":`, `"-1":`}, {`"7": "00`, `"7": "0g`}, {`"7": "00`, `"7": "`},
		{`"ref": "00`, `"ref": "A0`}, {`Z",`, `+00:00",`}, {`"signature": "`, `"signature": "=`},
	} {
		bad := strings.Replace(good, change[0], change[1], 1)
		if bad == good {
			t.Fatalf("%s is not there", change[0])
		}
		if _, err := tpm.ParseApprovals([]byte(bad)); err == nil {
			t.Errorf("%s: taken", change[1])
		}
	}
	for _, bad := range []string{"", "{}", `{"version":1,"approvals":[]}`, good + good, string(tpm.FormatApprovals(make([]tpm.Approval, 17)))} {
		if _, err := tpm.ParseApprovals([]byte(bad)); err == nil {
			t.Errorf("%.40s: taken", bad)
		}
	}
}

func FuzzParseApprovals(f *testing.F) {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	a, err := tpm.Approve(key, make([]byte, 32), tpm.Policy{PCRs: tpm.PCRs{7: make([]byte, 32)}}, time.Unix(2e9, 0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(tpm.FormatApprovals([]tpm.Approval{a}))
	f.Add([]byte(`{"version":1,"approvals":[{"ref":""}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := tpm.ParseApprovals(data)
		if err != nil {
			return
		}
		again, err := tpm.ParseApprovals(tpm.FormatApprovals(list))
		if err != nil || !reflect.DeepEqual(list, again) {
			t.Fatalf("%+v, %+v, %v", list, again, err)
		}
	})
}

func TestErrorsMatchOnlyTheirOwn(t *testing.T) {
	for _, err := range []error{&tpm.PCRError{}, &tpm.RollbackError{}, &tpm.ApprovalError{}} {
		if errors.Is(err, tpm.ErrStopped) {
			t.Errorf("%T stops, and trying again does no harm", err)
		}
	}
}

// TestNewPIN is how a PIN is changed so that the old one opens nothing any more,
// not even a copy of the old file.
func TestNewPIN(t *testing.T) {
	f := newFixture(t)
	old, oldApproval := f.sealed, f.signed(f.policy(), time.Hour)
	seed, err := f.unseal()
	if err != nil {
		t.Fatal(err)
	}
	const newPIN = "another horse"
	f.sealed, err = f.device().Seal(t.Context(), tpm.Sealing{
		Storage: f.storage, Appliance: "appliance-1.2", Approver: &f.approver.PublicKey, PIN: []byte(newPIN),
	}, seed)
	if err != nil {
		t.Fatal(err)
	}
	next := f.policy()
	next.Limit++
	f.writeSealed(f.sealed)
	f.writePIN(newPIN)
	f.writeApprovals(oldApproval)
	if e := refuses[*tpm.ApprovalError](f); e.Fault != tpm.ApprovalForeign {
		t.Fatal(e)
	}
	f.approve(next, time.Hour)
	f.unlocks()
	if _, err := f.device().Advance(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	f.unlocks()
	f.writePIN(rightPIN)
	refuses[*tpm.PINError](f)
	f.writeSealed(old)
	f.writeApprovals(oldApproval)
	refuses[*tpm.RollbackError](f)
}

// TestUnallocatedBank: a TPM without the SHA-256 bank answers with nothing, and
// no error.
func TestUnallocatedBank(t *testing.T) {
	f, p := onBus(t)
	p.record(func(_ int, command, response []byte) []byte {
		if (exchange{command: command}).code() == tpm2.TPMCCPCRRead {
			return append([]byte{0x80, 1, 0, 0, 0, 22, 0, 0, 0, 0}, make([]byte, 12)...)
		}
		return response
	})
	if pcrs, err := tpm.NewDevice(p.path, 0).ReadPCRs(t.Context(), 7); err == nil || pcrs != nil {
		t.Fatalf("%v, %v", pcrs, err)
	}
	if seed, err := f.unseal(); err == nil || seed != nil || !strings.Contains(err.Error(), "no PCR 7 in the SHA-256 bank") {
		t.Fatal(err)
	}
}
