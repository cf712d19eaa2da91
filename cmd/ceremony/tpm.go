package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/go-tpm/tpm2"

	"countersign.dev/tpm"
)

// usageError ends like errUsage, and names the usage text of a group of verbs.
type usageError string

func (e usageError) Error() string { return string(e) }

func (e usageError) Is(target error) bool { return target == errUsage }

const errTPMUsage usageError = "see ceremony tpm --help"

// sealedKeys runs a verb of ceremony tpm.
func sealedKeys(ctx context.Context, args []string, t terminal) error {
	verb := ""
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	var run func(context.Context, []string, terminal) error
	switch verb {
	case "approver":
		run = makeApprover
	case "inspect":
		run = inspectTPM
	case "provision":
		run = provision
	case "seal":
		run = seal
	case "request":
		run = request
	case "approve":
		run = approve
	case "add-approval":
		run = addApproval
	case "advance":
		run = advance
	case "rotate-pin":
		run = rotatePIN
	case "reset-lockout":
		run = resetLockout
	case "--help", "-h", "help":
		fmt.Fprint(t.out, tpmUsage)
		return nil
	default:
		return fmt.Errorf("unknown command tpm %q: %w", verb, errTPMUsage)
	}
	if slices.ContainsFunc(args, func(a string) bool { return a == "--help" || a == "-h" }) {
		fmt.Fprint(t.out, tpmUsage)
		return nil
	}
	return explained(run(ctx, args, t))
}

// parse reads the flags of a verb. Those required must be there, and nothing else than flags.
func parse(flags *flag.FlagSet, args []string, required ...string) error {
	flags.SetOutput(io.Discard)
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("tpm %s: %v: %w", flags.Name(), err, errTPMUsage)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("tpm %s: %q is not a flag: %w", flags.Name(), flags.Arg(0), errTPMUsage)
	}
	if key := flags.Lookup("key"); key != nil {
		if err := key.Value.(*uriFlag).err; err != nil {
			return fmt.Errorf("tpm %s: %w: %w", flags.Name(), err, errTPMUsage)
		}
	}
	var missing []string
	for _, name := range required {
		if f := flags.Lookup(name); f.Value.String() == "" {
			missing = append(missing, "--"+name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("tpm %s: give %s: %w", flags.Name(), strings.Join(missing, ", "), errTPMUsage)
	}
	return nil
}

// keyFlag declares --key.
func keyFlag(flags *flag.FlagSet) *uriFlag {
	f := new(uriFlag)
	flags.Var(f, "key", "")
	return f
}

// uriFlag is a key's URI. Package flag repeats a value that it is told is wrong, which might be a PIN in the wrong place:
// so parse tells.
type uriFlag struct {
	tpm.URI
	err error
}

func (f *uriFlag) String() string {
	if f.Device == "" {
		return ""
	}
	return f.URI.String()
}

// Set wants all but the PIN, which not every verb needs.
func (f *uriFlag) Set(s string) error {
	f.URI, f.err = tpm.ParseURI(s)
	if f.err == nil && (f.SRK == nil || f.Device == "" || f.SealedPath == "" || f.ApprovalPath == "") {
		f.err = errors.New("key URI: it must have srk, device, sealed-path and approval-path")
	}
	return nil
}

// pcrFlag collects registers.
type pcrFlag []uint

func (f *pcrFlag) String() string {
	if len(*f) == 0 {
		return ""
	}
	return fmt.Sprint([]uint(*f))
}

func (f *pcrFlag) Set(s string) error {
	var n uint
	if _, err := fmt.Sscanf(s, "%d", &n); err != nil || fmt.Sprint(n) != s {
		return errors.New("not a number")
	}
	*f = append(*f, n)
	return checkPCRs(*f)
}

// checkPCRs refuses registers that say nothing about the state of a machine.
func checkPCRs(list []uint) error {
	if len(list) == 0 {
		return errors.New("pcrs: name at least one register, for example 7")
	}
	for i, n := range list {
		switch {
		case n > 23:
			return fmt.Errorf("pcrs: %d: the registers are 0 to 23", n)
		case n == 16 || n == 23:
			return fmt.Errorf("pcrs: %d can be reset by any program, so it proves nothing", n)
		case slices.Contains(list[:i], n):
			return fmt.Errorf("pcrs: %d is named twice", n)
		}
	}
	return nil
}

// explained adds what to do next. The errors of package tpm say what happened.
func explained(err error) error {
	if next := nextStep(err); next != "" {
		return fmt.Errorf("%w\nNext: %s", err, next)
	}
	return err
}

func nextStep(err error) string {
	var (
		pin      *tpm.PINError
		lockout  *tpm.LockoutError
		pcrs     *tpm.PCRError
		rollback *tpm.RollbackError
		approval *tpm.ApprovalError
	)
	switch {
	case errors.As(err, &pin):
		return "compare the PIN file with the sealed file it belongs to. Nothing tries this PIN again by itself; each run is one attempt."
	case errors.As(err, &lockout):
		return "find out who tried wrong PINs. Then wait, or: ceremony tpm reset-lockout --device PATH --lockout-auth FILE"
	case errors.As(err, &pcrs):
		return "find out what changed, and whether it was meant to. If so: ceremony tpm request, at the approver's ceremony tpm approve, ceremony tpm add-approval."
	case errors.As(err, &rollback):
		return "a withdrawn approval stays withdrawn. For a new one: ceremony tpm request, at the approver's ceremony tpm approve, ceremony tpm add-approval."
	case errors.As(err, &approval) && approval.Fault == tpm.ApprovalExpired:
		return "look at this machine's clock too. For a new approval: ceremony tpm request, at the approver's ceremony tpm approve, ceremony tpm add-approval."
	case errors.As(err, &approval):
		return "compare the approval's file with what the approver signed, and the request with this key (ceremony tpm inspect --key URI). Do not install it."
	case errors.Is(err, tpm.ErrWrongDevice):
		return "if the disk was moved, move it back. If the TPM is gone, so is the key: see docs/tpm.md, " + replacing
	case errors.Is(err, tpm.ErrStorageKey):
		return "ceremony tpm inspect --device PATH shows the present storage key. If the TPM was cleared the key is gone: see docs/tpm.md, " + replacing
	case errors.Is(err, tpm.ErrTampered):
		return "something answers in the TPM's place, or the bus is faulty. Stop, and look at the machine."
	case errors.Is(err, tpm2.TPMRCBadAuth) || errors.Is(err, tpm2.TPMRCAuthFail):
		return "the authorisation is another TPM's, or an older one: name the file that was written for this TPM."
	case errors.Is(err, tpm.ErrBusy):
		return "see whether another program uses the TPM, then run this again."
	}
	return ""
}

// replacing is where docs/tpm.md says what to do about a lost TPM.
const replacing = "Replacing the machine."
