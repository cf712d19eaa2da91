package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"countersign.dev/tpm"
)

// Provisioning leaves a TPM that nobody owned owned, and does nothing twice.
func TestProvision(t *testing.T) {
	r := newRoom(t)
	args := append([]string{"tpm", "provision"}, r.seat()...)
	out := r.done(args...)
	c := r.capabilities()
	if !c.OwnerAuth || !c.LockedAuth || c.Lockout.Max != 32 || c.Lockout.Forget != 10*time.Minute || c.Lockout.Recovery != time.Hour {
		t.Fatalf("%+v\n%s", c, out)
	}
	for _, name := range []string{"owner", "lockout"} {
		info, err := os.Stat(r.path(name))
		must(t, err)
		if info.Mode().Perm() != 0o600 || info.Size() != 32 || strings.Trim(r.read(name), "0123456789abcdef") != "" {
			t.Errorf("%s: %v, %d bytes", name, info.Mode(), info.Size())
		}
	}
	if r.read("owner") == r.read("lockout") {
		t.Error("one authorisation for both")
	}
	counter := r.counter()
	again := r.done(args...)
	if r.counter() != counter || strings.Contains(again, "Wrote") || !strings.Contains(again, strings.Fields(out[strings.Index(out, "key is "):])[2]) {
		t.Errorf("the second time:\n%s", again)
	}
}

// A run that was killed before the TPM had the authorisations left their files: they are taken, not made anew.
func TestProvisionGoesOn(t *testing.T) {
	r := newRoom(t)
	must(t, makeAuth(r.path("owner")))
	owner := r.read("owner")
	out := r.done(append([]string{"tpm", "provision"}, r.seat()...)...)
	if r.read("owner") != owner || strings.Contains(out, "Wrote "+r.path("owner")) || !strings.Contains(out, "Wrote "+r.path("lockout")) {
		t.Fatal(out)
	}
	_, err := tpm.NewDevice(r.socket(), 0).Advance(t.Context(), []byte(owner))
	must(t, err)
}

// A run that was killed between the two authorisations is gone on with, and so is what another program began.
func TestProvisionGoesOnHalfOwned(t *testing.T) {
	for name, hierarchy := range map[string]tpm2.TPMHandle{"lockout": tpm2.TPMRHLockout, "owner": tpm2.TPMRHOwner} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t)
			must(t, makeAuth(r.path(name)))
			had := r.read(name)
			must(t, setAuth(r, hierarchy, had))
			out := r.done(append([]string{"tpm", "provision"}, r.seat()...)...)
			if c := r.capabilities(); !c.OwnerAuth || !c.LockedAuth || c.Lockout.Max != 32 || r.read(name) != had {
				t.Fatalf("%+v\n%s", c, out)
			}
			if strings.Contains(out, "authorisation for its "+name) {
				t.Errorf("the plan is wrong:\n%s", out)
			}
			d := tpm.NewDevice(r.socket(), 0)
			_, err := d.Advance(t.Context(), []byte(r.read("owner")))
			must(t, err)
			must(t, d.ResetLockout(t.Context(), []byte(r.read("lockout"))))
			r.done(append([]string{"tpm", "provision"}, r.seat()...)...)
		})
	}
}

func TestProvisionRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		arrange func(r *room)
		why     string
	}{
		"no device":        {func(r *room) { r.kill(); os.Remove(r.socket()) }, "no such file"},
		"short file":       {func(r *room) { r.write("lockout", "") }, "so remove the file"},
		"not ours":         {func(r *room) { r.write("owner", "secret") }, "shorter than 16 bytes"},
		"open to everyone": {func(r *room) { r.write("owner", "0123456789abcdef"); os.Chmod(r.path("owner"), 0o644) }, "open to every user"},
		"owned, no file": {func(r *room) {
			r.done(append([]string{"tpm", "provision"}, r.seat()...)...)
			must(t, os.Remove(r.path("owner")))
		}, "owner hierarchy has an authorisation already"},
		"owned, other file": {func(r *room) {
			r.done(append([]string{"tpm", "provision"}, r.seat()...)...)
			r.write("owner", "0123456789abcdef0123456789abcdef")
		}, "the authorisation is another TPM's"},
		"half owned, no file": {func(r *room) { must(t, setAuth(r, tpm2.TPMRHLockout, "0123456789abcdef")) }, "lockout hierarchy has an authorisation already"},
		"half owned, other file": {func(r *room) {
			must(t, tpm.NewDevice(r.socket(), 0).SetLockout(t.Context(), nil, guessing)) // as the earlier run did
			must(t, setAuth(r, tpm2.TPMRHLockout, "0123456789abcdef"))
			r.write("lockout", "fedcba9876543210")
			r.write("owner", "fedcba9876543210")
		}, "the lockout authorisation is wrong"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t)
			c.arrange(r)
			out := r.refused(c.why, append([]string{"tpm", "provision"}, r.seat()...)...)
			if strings.Contains(out, "Wrote") {
				t.Errorf("it made something:\n%s", out)
			}
		})
	}
	r := newRoom(t)
	r.refused("are two files", "tpm", "provision", "--device", r.socket(), "--owner-auth", r.path("a"), "--lockout-auth", r.path("a"))
}
