package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign.dev/tpm"
)

// From nothing to a key that opens, with the approver elsewhere, and over a reboot.
func TestSealApproveOpen(t *testing.T) {
	r := newRoom(t)
	out := r.seal()
	if !strings.Contains(out, r.uri()) || !strings.Contains(out, "public_key = \"MC") || !strings.Contains(out, "nothing was measured") {
		t.Errorf("%s", out)
	}
	if err := r.open(); err == nil {
		t.Fatal("it opens without an approval")
	}
	shown := r.typing("host-1\n", r.approving("request", "approval")...)
	for _, want := range []string{"host-1", "PCR 7 ", "PCR 11 ", strings.Repeat("00", 32), "generation  up to "} {
		if !strings.Contains(shown, want) {
			t.Errorf("the approver does not see %q:\n%s", want, shown)
		}
	}
	out = r.done("tpm", "add-approval", "--key", r.uri(), "--approval", r.path("approval"))
	if !strings.Contains(out, "the key opens under it and signs") {
		t.Error(out)
	}
	r.restart()
	must(t, r.open())
	// Adding it again changes nothing, and sealing again is refused.
	before := r.read("approvals")
	if out := r.done("tpm", "add-approval", "--key", r.uri(), "--approval", r.path("approval")); !strings.Contains(out, "already") || r.read("approvals") != before {
		t.Error(out)
	}
	before = r.read("sealed")
	r.refused("overwrites nothing", r.sealing()...)
	if r.read("sealed") != before {
		t.Error("the sealed key changed")
	}
}

// otherCurve is a public key on P-384.
const otherCurve = `-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE+Pl5M1730yGRw7tja1T3mtanwXTwaPRg
YQE1GE09S57NpYa12L1WmYam/Ee16j3dYMQNTXiVUXHzH5zEqeu66hfkipzatfbY
kZx5VXtwRUz/JUYF0a0dH/7CeQkHqhmK
-----END PUBLIC KEY-----
`

func TestSealRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		arrange func(r *room)
		why     string
	}{
		"long PIN":         {func(r *room) { r.write("pin", strings.Repeat("x", 33)) }, "longer than the 32 bytes"},
		"no PIN":           {func(r *room) { os.Remove(r.path("pin")) }, "how to make a PIN"},
		"PIN for everyone": {func(r *room) { os.Chmod(r.path("pin"), 0o644) }, "open to every user"},
		"no approver":      {func(r *room) { os.Remove(r.path("approver.pub")) }, "approver.pub"},
		"other curve":      {func(r *room) { r.write("approver.pub", otherCurve) }, "ECDSA on P-256"},
		"private approver": {func(r *room) { r.write("approver.pub", r.read("approver.key")) }, "holds no PUBLIC KEY"},
		"sealed exists":    {func(r *room) { r.write("sealed", "something else") }, "overwrites nothing"},
		"request exists":   {func(r *room) { r.write("request", "something else") }, "overwrites nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t)
			c.arrange(r)
			r.refused(c.why, r.sealing()...)
			if r.capabilities().OwnerAuth {
				t.Error("the TPM was changed first")
			}
		})
	}
}

// An update: the approval of the expected state is there before it, the old one until it is withdrawn.
func TestUpdate(t *testing.T) {
	r := sealedRoom(t)
	u := r.uri()
	r.extend(11) // what the new kernel will measure, found out on a machine like this one
	after, err := tpm.NewDevice(r.socket(), 0).ReadPCRs(t.Context(), 11)
	must(t, err)
	out, status := r.run("", "tpm", "inspect", "--key", u)
	if status != 3 || !strings.Contains(out, "it is for another state: PCR 11 is") || !strings.Contains(out, "no approval of the key holds now") {
		t.Fatalf("%d %s", status, out)
	}
	if err := r.open(); !strings.Contains(explained(err).Error(), "ceremony tpm request") {
		t.Fatalf("%v", err)
	}
	r.restart() // back to the old kernel
	value := bytesHex(after[11])
	if out, status := r.run("", "tpm", "request", "--key", u, "--pcr", "7", "--expect", "11="+value, "--out", r.path("next.request")); status != 2 || !strings.Contains(out, "name it with --pcr") {
		t.Errorf("%d %s", status, out)
	}
	if out := r.done("tpm", "request", "--key", u, "--pcr", "7", "--pcr", "11", "--expect", "11="+value, "--next", "--out", r.path("next.request")); !strings.Contains(out, "PCR 11 is predicted") {
		t.Error(out)
	}
	r.approve("next.request", "next.approval")
	if out := r.done("tpm", "add-approval", "--key", u, "--approval", r.path("next.approval")); !strings.Contains(out, "does not hold now, but in another state") || !strings.Contains(out, value) {
		t.Error(out)
	}
	must(t, r.open()) // still the old kernel
	r.extend(11)
	must(t, r.open()) // the new one
	counter := r.counter()
	advancing := []string{"tpm", "advance", "--key", u, "--owner-auth", r.path("owner")}
	if out, status := r.run("advance\n", advancing...); status != 1 || !strings.Contains(out, "the counter is unchanged") || r.counter() != counter {
		t.Fatalf("%d %s", status, out)
	}
	r.typing(advanceTo(counter+1, false), advancing...)
	must(t, r.open())
	r.restart() // the old kernel, withdrawn
	var rollback *tpm.RollbackError
	if err := r.open(); !errors.As(err, &rollback) || !strings.Contains(explained(err).Error(), "stays withdrawn") {
		t.Fatalf("%v, want %T", err, rollback)
	}
	out, _ = r.run("", "tpm", "inspect", "--key", u)
	if !strings.Contains(out, "it is withdrawn") {
		t.Error(out)
	}
	r.refused("it is withdrawn", "tpm", "add-approval", "--key", u, "--approval", r.mustWrite("old.approval", r.read("approval")))
}

// mustWrite changes nothing of what an approval says, only its file's form.
func (r *room) mustWrite(name, text string) string {
	list, err := tpm.ParseApprovals([]byte(text))
	must(r.stage.t, err)
	u, err := tpm.ParseURI(r.uri())
	must(r.stage.t, err)
	there, err := readApprovals(u.ApprovalPath)
	must(r.stage.t, err)
	var others []tpm.Approval
	for _, a := range there {
		if !sameApproval(a, list[0]) {
			others = append(others, a)
		}
	}
	must(r.stage.t, os.WriteFile(u.ApprovalPath, tpm.FormatApprovals(others), 0o644))
	r.write(name, text)
	return r.path(name)
}

// The last advance that leaves nothing takes a longer phrase.
func TestAdvanceThatLocksOut(t *testing.T) {
	r := sealedRoom(t)
	next := r.counter() + 1
	args := []string{"tpm", "advance", "--key", r.uri(), "--owner-auth", r.path("owner")}
	if out, status := r.run(advanceTo(next, false), args...); status != 1 || !strings.Contains(out, "No approval would hold") || r.counter() != next-1 {
		t.Fatalf("%d %s", status, out)
	}
	r.typing(advanceTo(next, true), args...)
	if r.counter() != next {
		t.Error("not advanced")
	}
	err := explained(r.open())
	if err == nil || !strings.Contains(err.Error(), "stays withdrawn") {
		t.Fatal(err)
	}
	// The way back: a new approval of the present generation; the void one makes room.
	r.done("tpm", "request", "--key", r.uri(), "--pcr", "7", "--out", r.path("again.request"))
	r.approve("again.request", "again.approval")
	if out := r.done("tpm", "add-approval", "--key", r.uri(), "--approval", r.path("again.approval")); !strings.Contains(out, "Left out approval 1: it is withdrawn") || !strings.Contains(out, "which has 1 now") {
		t.Error(out)
	}
	must(t, r.open())
	r.write("owner", "0123456789abcdef0123456789abcdef")
	if out, status := r.run(advanceTo(next+1, true), args...); status != 1 || !strings.Contains(out, "the authorisation is another TPM's") {
		t.Errorf("%d %s", status, out)
	}
}

// Two people at once: the second is sent away while the first decides, so that no advance is made that nobody confirmed
// and no approval is lost.
func TestTwoCeremoniesAtOnce(t *testing.T) {
	r := sealedRoom(t)
	first := r.counter()
	advance := []string{"tpm", "advance", "--key", r.uri(), "--owner-auth", r.path("owner")}
	answers, typed := io.Pipe()
	shown, out := io.Pipe()
	status := make(chan int)
	go func() { status <- run(t.Context(), advance, terminal{answers, out, out}) }()
	asking := bufio.NewScanner(shown)
	for asking.Scan() && !strings.HasPrefix(asking.Text(), "Type: ") {
	}
	if out, status := r.run(advanceTo(first+1, true), advance...); status != 1 || !strings.Contains(out, "another ceremony is at work on this key") {
		t.Errorf("%d %s", status, out)
	}
	r.refused("another ceremony is at work", "tpm", "add-approval", "--key", r.uri(), "--approval", r.path("approval"))
	if r.counter() != first {
		t.Fatal("advanced")
	}
	// The counter is the TPM's, and another program may have it too.
	_, err := tpm.NewDevice(r.socket(), 0).Advance(t.Context(), []byte(r.read("owner")))
	must(t, err)
	fmt.Fprint(typed, advanceTo(first+1, true))
	typed.Close()
	asking.Scan()
	if why := asking.Text(); !strings.Contains(why, "something else advanced it meanwhile") || <-status != 1 || r.counter() != first+1 {
		t.Errorf("generation %d after %d: %s", r.counter(), first, why)
	}
}

func TestApproveRefuses(t *testing.T) {
	r := newRoom(t)
	r.seal()
	args := r.approving("request", "approval")
	for _, input := range []string{"", "host-2\n", "HOST-1\n"} {
		if out, status := r.run(input, args...); status != 1 || !strings.Contains(out, "nothing was signed") {
			t.Errorf("%q: %d %s", input, status, out)
		}
	}
	for why, change := range map[string]func(args []string){
		"expired from the start": func(a []string) { a[7] = "2020-01-01T00:00:00Z" },
		"--not-after":            func(a []string) { a[7] = "tomorrow" },
		"overwrites nothing":     func(a []string) { a[9] = r.path("request") },
		"not a request": func(a []string) {
			r.write("other", strings.Replace(r.read("request"), `"version": 1`, `"version": 2`, 1))
			a[3] = r.path("other")
		},
	} {
		other := append([]string{}, args...)
		change(other)
		r.refused(why, other...)
	}
	r.done("tpm", "approver", "--out", r.path("stranger"))
	args[5] = r.path("stranger.key")
	if out, status := r.run("host-1\n", args...); status != 1 || !strings.Contains(out, "is not the approver of this key") {
		t.Errorf("%d %s", status, out)
	}
	args[5] = r.path("stranger.pub")
	if out, status := r.run("host-1\n", args...); status != 1 || !strings.Contains(out, "holds no PRIVATE KEY") {
		t.Errorf("%d %s", status, out)
	}
	if _, err := os.Stat(r.path("approval")); err == nil {
		t.Error("something was signed")
	}
	r.refused("overwrites nothing", "tpm", "approver", "--out", r.path("approver"))
	for name, mode := range map[string]os.FileMode{"approver.key": 0o600, "approver.pub": 0o644} {
		info, err := os.Stat(r.path(name))
		must(t, err)
		if info.Mode().Perm() != mode {
			t.Errorf("%s: %v", name, info.Mode())
		}
	}
}

// Each verb explains itself, and a seal that came half-way says how to go on.
func TestSealHalfWay(t *testing.T) {
	r := newRoom(t)
	for _, verb := range []string{"approver", "approve", "inspect", "provision", "seal", "request", "add-approval", "advance", "rotate-pin", "reset-lockout"} {
		if out := r.done("tpm", verb, "--help"); out != tpmUsage {
			t.Errorf("%s --help:\n%s", verb, out)
		}
	}
	args := r.sealing()
	args[slices.Index(args, "--request")+1] = r.path("missing/request")
	r.refused("write "+r.path("missing/request"), args...)
	if u := r.uri(); u == "" {
		t.Fatal("not sealed")
	}
	r.refused("If an earlier run was interrupted", args...)
	other := strings.Replace(r.uri(), "srk=000b", "srk=000b"+strings.Repeat("0", 64), 1)
	other = other[:len("tpm:srk=000b")+64] + other[len("tpm:srk=000b")+128:]
	r.refused("find out who replaced it", "tpm", "request", "--key", other, "--pcr", "7", "--out", r.path("request"))
	r.done("tpm", "request", "--key", r.uri(), "--pcr", "7", "--pcr", "11", "--out", r.path("request"))
	r.approve("request", "approval")
	r.done("tpm", "add-approval", "--key", r.uri(), "--approval", r.path("approval"))
	must(t, r.open())
}

// What is not a good approval is not installed.
func TestAddApprovalRefuses(t *testing.T) {
	r := sealedRoom(t)
	before := r.read("approvals")
	list, err := readApprovals(r.path("approvals"))
	must(t, err)
	good := list[0]
	key, err := readApproverKey(r.path("approver.key"))
	must(t, err)
	approve := func(ref []byte, p tpm.Policy, end time.Duration) []tpm.Approval {
		a, err := tpm.Approve(key, ref, p, time.Now().Add(end))
		must(t, err)
		return []tpm.Approval{a}
	}
	r.done("tpm", "approver", "--out", r.path("stranger"))
	stranger, err := readApproverKey(r.path("stranger.key"))
	must(t, err)
	forged, err := tpm.Approve(stranger, good.Ref, good.Policy, time.Now().Add(time.Hour))
	must(t, err)
	later := good
	later.NotAfter = later.NotAfter.Add(time.Hour)
	for why, approvals := range map[string][]tpm.Approval{
		"is not signed by the approver": {forged},
		"not signed by the approver":    {later},
		"another key or appliance":      approve(bytes.Repeat([]byte{1}, 32), good.Policy, time.Hour),
		"it expired at":                 approve(good.Ref, good.Policy, -time.Hour),
		"it is withdrawn":               approve(good.Ref, tpm.Policy{PCRs: good.PCRs, Limit: good.Limit - 1}, time.Hour),
		"one at a time":                 {good, later},
	} {
		r.write("bad", string(tpm.FormatApprovals(approvals)))
		r.refused(why, "tpm", "add-approval", "--key", r.uri(), "--approval", r.path("bad"))
	}
	if r.read("approvals") != before {
		t.Error("the approvals changed")
	}
	u, err := tpm.ParseURI(r.uri())
	must(t, err)
	u.PINFile = ""
	if out, status := r.run("", "tpm", "add-approval", "--key", u.String(), "--approval", r.path("approval")); status != 2 || !strings.Contains(out, "pin-source") {
		t.Errorf("%d %s", status, out)
	}
	must(t, r.open())
}

// The usage text's example is a configuration.
func TestTPMUsageExample(t *testing.T) {
	start, end := strings.Index(tpmUsage, "  [[log.key]]"), strings.Index(tpmUsage, "create provisions the TPM")
	s := newStage(t, 1)
	must(t, os.Mkdir(s.path("keyagent-a"), 0o700))
	s.write("a.pin", "correct horse")
	if out, status := s.run("", "tpm", "approver", "--out", s.path("approver")); status != 0 {
		t.Fatal(out)
	}
	s.write("ceremony.toml", s.read("ceremony.toml")+strings.NewReplacer("/var/lib/", s.dir+"/", "/etc/countersign/", s.dir+"/").Replace(tpmUsage[start:end]))
	c, err := loadConfig(s.path("ceremony.toml"), time.Now())
	must(t, err)
	if k := c.Log.Key[0].TPM; k.Device != "/dev/tpmrm0" || k.approver == nil {
		t.Errorf("%+v", k)
	}
}

// Another TPM in the place of the right one, and another storage key in the URI.
func TestOtherTPM(t *testing.T) {
	r := sealedRoom(t)
	other := newRoom(t)
	other.done(append([]string{"tpm", "provision"}, other.seat()...)...)
	moved := strings.Replace(r.uri(), r.socket(), other.socket(), 1)
	r.write("pin2", "another horse")
	out := r.refused("not the TPM", "tpm", "rotate-pin", "--key", moved, "--appliance", "host-1", "--new-pin-file", r.path("pin2"), "--out", r.path("sealed2"))
	if !strings.Contains(out, "Replacing the machine") || other.capabilities().Lockout.Failures != 0 {
		t.Error(out)
	}
	if out, status := r.run("", "tpm", "inspect", "--key", moved); status != 3 || !strings.Contains(out, "its storage key is not the one of the URI") {
		t.Errorf("%d %s", status, out)
	}
	u, err := tpm.ParseURI(r.uri())
	must(t, err)
	u.SRK[10] ^= 1
	r.refused("find out who replaced it", "tpm", "request", "--key", u.String(), "--pcr", "7", "--out", r.path("r"))
}

func TestTPMInspect(t *testing.T) {
	r := newRoom(t)
	out, status := r.run("", "tpm", "inspect", "--device", r.socket())
	if status != 3 || !strings.Contains(out, "native_eddsa  false") || strings.Count(out, "OBJECTION") != 5 || !strings.Contains(out, "lock it, one is forgotten each 16m40s") {
		t.Fatalf("%d %s", status, out)
	}
	r.seal()
	r.approve("request", "approval")
	r.done("tpm", "add-approval", "--key", r.uri(), "--approval", r.path("approval"))
	out = r.done("tpm", "inspect", "--key", r.uri())
	for _, want := range []string{"persistent    0x81000001", "storage key   000b", "generation    ", "protection    tpm-sealed", "it holds, if the approver signed it", "owner true, lockout true"} {
		if !strings.Contains(out, want) {
			t.Errorf("lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(strings.ToLower(out), "hardware key") {
		t.Error("it is called a hardware key")
	}
	var report tpmReport
	d := json.NewDecoder(strings.NewReader(r.done("tpm", "inspect", "--json", "--key", r.uri())))
	d.DisallowUnknownFields()
	must(t, d.Decode(&report))
	u, err := tpm.ParseURI(r.uri())
	must(t, err)
	if report.SRK != bytesHex(u.SRK) || *report.Counter != r.counter() || !report.Key.Approvals[0].Holds || report.Lockout.Max != 32 || len(report.Objections) != 0 {
		t.Errorf("%+v", report)
	}
}

func TestTPMUsage(t *testing.T) {
	s := &stage{t, t.TempDir()}
	for _, args := range [][]string{{}, {"make"}, {"provision"}, {"provision", "--colour"}, {"seal", "--device", "/x"}, {"request", "--key", "tpm:"}, {"request", "--key", "pkcs11:token=x"},
		{"seal", "--pcr", "16"}, {"seal", "--pcr", "24"}, {"seal", "--pcr", "7", "--pcr", "7"}, {"seal", "--pcr", "07"}, {"request", "--expect", "7=00"},
		{"approve"}, {"inspect"}, {"inspect", "--device", "/x", "more"}, {"advance"}, {"rotate-pin"}, {"reset-lockout", "--device", "/x"}, {"add-approval"}, {"approver"}} {
		if out, status := s.run("", append([]string{"tpm"}, args...)...); status != 2 || !strings.Contains(out, "see ceremony tpm --help") {
			t.Errorf("%q: %d %s", args, status, out)
		}
	}
	if out, status := s.run("", "tpm", "--help"); status != 0 || !strings.Contains(out, "no hardware key") {
		t.Errorf("%d %s", status, out)
	}
	// A PIN in a URI is refused and not repeated.
	if out, status := s.run("", "tpm", "inspect", "--key", "tpm:?pin-value=12345678"); status != 2 || strings.Contains(out, "12345678") {
		t.Errorf("%d %s", status, out)
	}
}
