package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"countersign.dev/tpm"
)

// Another PIN, with and without a new appliance.
func TestRotatePIN(t *testing.T) {
	r := sealedRoom(t)
	r.write("pin2", "another horse")
	args := func(appliance, out string) []string {
		return []string{"tpm", "rotate-pin", "--key", r.uri(), "--appliance", appliance, "--new-pin-file", r.path("pin2"), "--out", r.path(out)}
	}
	out := r.done(args("host-1", "sealed2")...)
	if !strings.Contains(out, "opens with the new PIN") || !strings.Contains(out, "copy of") {
		t.Error(out)
	}
	old, err := tpm.ParseURI(r.uri())
	must(t, err)
	next := old
	next.SealedPath, next.PINFile = r.path("sealed2"), r.path("pin2")
	must(t, openURI(next))
	must(t, openURI(old))
	if !strings.Contains(out, next.String()) {
		t.Errorf("the new URI is missing:\n%s", out)
	}
	r.refused("overwrites nothing", args("host-1", "sealed2")...)

	// A new appliance name: the new file wants approvals of its own, and then the old ones can be withdrawn.
	if out := r.done(args("host-1/2", "sealed3")...); !strings.Contains(out, "needs approvals of its own") {
		t.Error(out)
	}
	next.SealedPath = r.path("sealed3")
	if err := openURI(next); err == nil {
		t.Fatal("an approval of the old appliance opens the new one")
	}
	r.done("tpm", "request", "--key", next.String(), "--pcr", "7", "--next", "--out", r.path("new.request"))
	r.typing("host-1/2\n", r.approving("new.request", "new.approval")...)
	r.done("tpm", "add-approval", "--key", next.String(), "--approval", r.path("new.approval"))
	must(t, openURI(next))
	must(t, openURI(old))
	r.typing(advanceTo(r.counter()+1, false), "tpm", "advance", "--key", next.String(), "--owner-auth", r.path("owner"))
	must(t, openURI(next))
	if err := openURI(old); err == nil {
		t.Fatal("the old PIN still opens")
	}
}

// A wrong PIN is tried once, and the lockout can be reset by who has its authorisation.
func TestWrongPINAndLockout(t *testing.T) {
	r := sealedRoom(t)
	r.write("pin2", "another horse")
	r.write("pin", "wrong horse")
	rotate := []string{"tpm", "rotate-pin", "--key", r.uri(), "--appliance", "host-1", "--new-pin-file", r.path("pin2"), "--out", r.path("sealed2")}
	out := r.refused("30 attempts left", rotate...)
	if !strings.Contains(out, "Next: compare the PIN file") || r.capabilities().Lockout.Failures != 1 {
		t.Fatalf("%+v\n%s", r.capabilities().Lockout, out)
	}
	// An approval is not installed by a wrong PIN either.
	r.done("tpm", "request", "--key", r.uri(), "--pcr", "7", "--out", r.path("more.request"))
	r.approve("more.request", "more.approval")
	r.refused("29 attempts left", "tpm", "add-approval", "--key", r.uri(), "--approval", r.path("more.approval"))
	lockout := []byte(r.read("lockout"))
	must(t, tpm.NewDevice(r.socket(), 0).SetLockout(t.Context(), lockout, tpm.LockoutState{Max: 3, Forget: time.Hour, Recovery: time.Hour}))
	r.refused("reset-lockout", rotate...)
	if n := r.capabilities().Lockout.Failures; n != 2 {
		t.Fatalf("%d attempts", n)
	}
	out, status := r.run("", "tpm", "inspect", "--device", r.socket())
	if status != 3 || !strings.Contains(out, "few wrong PINs lock it") {
		t.Errorf("%d %s", status, out)
	}
	reset := []string{"tpm", "reset-lockout", "--device", r.socket(), "--lockout-auth", r.path("lockout")}
	if out := r.done(reset...); !strings.Contains(out, "2 wrong authorisations counted") || !strings.Contains(out, "0 wrong authorisations counted") {
		t.Error(out)
	}
	// Without failures the authorisation is not even read.
	r.write("lockout", "0123456789abcdef0123456789abcdef")
	if out := r.done(reset...); !strings.Contains(out, "nothing to reset") {
		t.Error(out)
	}
	r.write("pin", "correct horse")
	must(t, r.open())
	r.write("pin", "wrong again")
	r.refused("attempts left", rotate...)
	r.refused("the lockout authorisation is wrong or locked", reset...)
}

// Nothing is sealed to a TPM that would not take the PIN.
func TestSealToALockedTPM(t *testing.T) {
	r := sealedRoom(t)
	r.write("pin2", "another horse")
	r.write("pin", "wrong horse")
	must(t, tpm.NewDevice(r.socket(), 0).SetLockout(t.Context(), []byte(r.read("lockout")), tpm.LockoutState{Max: 10, Forget: time.Hour, Recovery: time.Hour}))
	for range 9 {
		r.refused("attempts left", "tpm", "rotate-pin", "--key", r.uri(), "--appliance", "host-1", "--new-pin-file", r.path("pin2"), "--out", r.path("sealed2"))
	}
	for _, name := range []string{"sealed", "request"} {
		must(t, os.Rename(r.path(name), r.path(name+".old")))
	}
	r.refused("no attempt is left for a PIN", r.sealing()...)
}
