package main

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"

	"countersign.dev/provenance"
)

// officer is an enrolment key in a file, and the identity in which it counts.
type officer struct {
	key         ed25519.PrivateKey
	identity    *provenance.Identity
	fingerprint string // of the identity
}

func readOfficer(keyFile, identityFile string) (*officer, error) {
	chain, err := readIdentity(identityFile)
	if err != nil {
		return nil, err
	}
	key, err := readKey(keyFile)
	if err != nil {
		return nil, err
	}
	public, err := provenance.NewPublicKey(key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, err
	}
	o := &officer{key, chain.Last(), chain.Fingerprint()}
	for _, k := range o.identity.Enrol {
		switch {
		case k.PublicKey == public && k.Ended:
			return nil, fmt.Errorf("%s was ended as an enrolment key of %s", public.Fingerprint(), o.identity.Registry)
		case k.PublicKey == public:
			return o, nil
		}
	}
	return nil, hint(fmt.Errorf("%s is not an enrolment key of %s", public.Fingerprint(), o.identity.Registry),
		"--key is the officer's key, --publisher the publisher's; countersign show %s lists the enrolment keys", identityFile)
}

// startCeremony runs the program that can reach keys in tokens: the one beside this program, else the one in PATH.
func startCeremony(args []string, t terminal) error {
	path, err := findCeremony()
	if err != nil {
		return hint(fmt.Errorf("the program ceremony, which reaches keys in tokens, is neither beside this program nor in PATH"),
			"install it, or run on the machine that has it: ceremony enrol with the same arguments")
	}
	// The terminal sends an interrupt to both programs; ceremony decides.
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	child := exec.Command(path, args...)
	child.Stdin, child.Stdout, child.Stderr = t.in, t.out, t.err
	err = child.Run()
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.ExitCode() > 0 {
		return exitStatus(ended.ExitCode())
	}
	return err
}

func findCeremony() (string, error) {
	if self, err := os.Executable(); err == nil {
		if path, err := exec.LookPath(filepath.Join(filepath.Dir(self), "ceremony")); err == nil {
			return path, nil
		}
	}
	return exec.LookPath("ceremony")
}
