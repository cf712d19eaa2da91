package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"countersign.dev/provenance"
	"countersign.dev/tpm"
)

// shelf is the approval file of a sealed key, and what decides which of its approvals hold.
type shelf struct {
	path   string
	ref    []byte
	list   []tpm.Approval
	count  uint64
	pcrs   tpm.PCRs
	now    time.Time
	device *tpm.Device
}

// lookUp reads the file, which may not be there yet, and the state of the machine.
func lookUp(ctx context.Context, u tpm.URI, s *tpm.Sealed, more ...tpm.Approval) (*shelf, error) {
	f := &shelf{path: u.ApprovalPath, ref: s.Ref(), now: time.Now(), device: tpm.NewDevice(u.Device, 0)}
	var err error
	if there, failed := exists(f.path); failed != nil {
		return nil, failed
	} else if there {
		if f.list, err = readApprovals(f.path); err != nil {
			return nil, err
		}
	}
	if f.count, err = f.device.Counter(ctx); err != nil {
		return nil, err
	}
	registers := tpm.PCRs{}
	for _, a := range slices.Concat(f.list, more) {
		for i := range a.PCRs {
			registers[i] = nil
		}
	}
	f.pcrs, err = f.device.ReadPCRs(ctx, indexes(registers)...)
	return f, err
}

func readApprovals(path string) ([]tpm.Approval, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	list, err := tpm.ParseApprovals(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

// hold keeps other ceremonies from a key while one reads, asks and writes; also a ceremony that is killed lets go.
func hold(u tpm.URI) (*os.File, error) {
	f, err := os.Open(u.SealedPath)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: another ceremony is at work on this key: see it end, then run this again", u.SealedPath), f.Close())
	}
	return f, nil
}

// objection is why an approval does not hold, "" if it does; dead says that it never will again. Its signature is not
// looked at here: the unsealing does.
func (f *shelf) objection(a tpm.Approval, counter uint64) (text string, dead bool) {
	switch {
	case !bytes.Equal(a.Ref, f.ref):
		return "it is for another key or appliance", false
	case counter > a.Limit:
		return fmt.Sprintf("it is withdrawn: it was good up to generation %d, and the counter is at %d", a.Limit, counter), true
	case f.now.After(a.NotAfter):
		return "it expired at " + provenance.At(a.NotAfter).String(), true
	}
	var differ []string
	for _, i := range indexes(a.PCRs) {
		if !bytes.Equal(a.PCRs[i], f.pcrs[i]) {
			differ = append(differ, fmt.Sprintf("PCR %d is %x and not %x", i, f.pcrs[i], a.PCRs[i]))
		}
	}
	if differ != nil {
		return "it is for another state: " + strings.Join(differ, ", "), false
	}
	return "", false
}

// show prints each approval, and gives how many hold with the counter at a value.
func (f *shelf) show(t terminal, counter uint64) (holding int) {
	for n, a := range f.list {
		text, _ := f.objection(a, counter)
		if text == "" {
			holding++
			text = "it holds, if the approver signed it"
		}
		t.say("  approval %d, up to generation %d, until %s: %s", n+1, a.Limit, provenance.At(a.NotAfter), text)
	}
	return holding
}

// addApproval installs an approval beside the others. It is tried first, alone: by unsealing the key where the machine is
// in that state, else as far as the state.
func addApproval(ctx context.Context, args []string, t terminal) error {
	flags := flag.NewFlagSet("add-approval", flag.ContinueOnError)
	u := keyFlag(flags)
	file := flags.String("approval", "", "")
	if err := parse(flags, args, "key", "approval"); err != nil {
		return err
	}
	if u.PINFile == "" {
		return fmt.Errorf("tpm add-approval: --key needs pin-source, since the approval is tried: %w", errTPMUsage)
	}
	held, err := hold(u.URI)
	if err != nil {
		return err
	}
	defer held.Close()
	sealed, err := readSealed(u.URI)
	if err != nil {
		return err
	}
	added, err := readApprovals(*file)
	if err != nil {
		return err
	}
	if len(added) != 1 {
		return fmt.Errorf("%s holds %d approvals: add one at a time, as ceremony tpm approve writes it", *file, len(added))
	}
	f, err := lookUp(ctx, u.URI, sealed, added...)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(f.list, func(a tpm.Approval) bool { return sameApproval(a, added[0]) }) {
		t.say("%s has this approval already.", f.path)
		return nil
	}
	if err := f.try(ctx, t, u.URI, sealed, added[0]); err != nil {
		return fmt.Errorf("not added: %w", err)
	}
	return f.add(t, added[0])
}

func sameApproval(a, b tpm.Approval) bool {
	return bytes.Equal(tpm.FormatApprovals([]tpm.Approval{a}), tpm.FormatApprovals([]tpm.Approval{b}))
}

// try unseals the key under one approval. What stops it last is the state of the machine, once the approver's signatures,
// the key, the date and the generation are found good: that is what an approval before an update looks like.
func (f *shelf) try(ctx context.Context, t terminal, u tpm.URI, s *tpm.Sealed, a tpm.Approval) error {
	if text, dead := f.objection(a, f.count); dead {
		return errors.New(text)
	}
	dir, err := os.MkdirTemp("", "ceremony")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	u.ApprovalPath = filepath.Join(dir, "approvals")
	if err := writeNew(u.ApprovalPath, string(tpm.FormatApprovals([]tpm.Approval{a}))); err != nil {
		return err
	}
	key, err := prove(ctx, u, s.PublicKey)
	var state *tpm.PCRError
	if errors.As(err, &state) && len(state.Changed) > 0 {
		t.say("The approver signed it. It does not hold now, but in another state of the machine:")
		for _, c := range state.Changed {
			t.say("  PCR %-7d now %x\n              then %x", c.Index, c.Found, c.Expected)
		}
		return nil
	}
	if err != nil {
		return err
	}
	t.say("It holds: the key opens under it and signs.")
	return key.Close()
}

// add writes the file with one more. What can never hold again makes room.
func (f *shelf) add(t terminal, a tpm.Approval) error {
	var list []tpm.Approval
	for n, old := range f.list {
		if text, dead := f.objection(old, f.count); dead {
			t.say("Left out approval %d: %s.", n+1, text)
			continue
		}
		list = append(list, old)
	}
	data := tpm.FormatApprovals(append(list, a))
	if _, err := tpm.ParseApprovals(data); err != nil {
		return fmt.Errorf("%s would be refused (%w): withdraw older approvals with ceremony tpm advance first", f.path, err)
	}
	write := func() error { return replaceFile(f.path, data) }
	if f.list == nil {
		write = func() error { return writeNew(f.path, string(data)) }
	}
	if err := write(); err != nil {
		return fmt.Errorf("not added: %w", err)
	}
	t.say("Added to %s, which has %d now. An agent reads it when it starts.", f.path, len(list)+1)
	return nil
}

// advance withdraws older approvals for ever.
func advance(ctx context.Context, args []string, t terminal) error {
	flags := flag.NewFlagSet("advance", flag.ContinueOnError)
	u := keyFlag(flags)
	owner := flags.String("owner-auth", "", "")
	if err := parse(flags, args, "key", "owner-auth"); err != nil {
		return err
	}
	held, err := hold(u.URI)
	if err != nil {
		return err
	}
	defer held.Close()
	sealed, err := readSealed(u.URI)
	if err != nil {
		return err
	}
	f, err := lookUp(ctx, u.URI, sealed)
	if err != nil {
		return err
	}
	auth, err := readAuth(*owner)
	if err != nil {
		return err
	}
	defer clear(auth)
	next := f.count + 1
	t.say("TPM %s: the counter is at generation %d. At %d, which cannot be taken back:", u.Device, f.count, next)
	phrase := fmt.Sprintf("advance to %d", next)
	if f.show(t, next) == 0 {
		t.say("No approval would hold: at its next start the agent could not open the key. Install one first (ceremony tpm request --next).")
		phrase += " and lock the key out"
	}
	if err := t.typed(ctx, phrase); err != nil {
		return fmt.Errorf("%w; the counter is unchanged", err)
	}
	if now, err := f.device.Counter(ctx); err != nil || now != f.count {
		return errors.Join(err, fmt.Errorf("%s: the counter is not at %d any more: something else advanced it meanwhile. This did not; look again with ceremony tpm inspect", u.Device, f.count))
	}
	now, err := f.device.Advance(ctx, auth)
	if err != nil {
		return fmt.Errorf("%s: %w", u.Device, err)
	}
	t.say("TPM %s: the counter is at generation %d. Approvals with a lower one are void, every copy of them.", u.Device, now)
	return nil
}
