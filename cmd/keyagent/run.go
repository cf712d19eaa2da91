package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"
)

// Exit statuses. The service manager must not restart after exitStopped: each start may cost a PIN attempt, and tokens
// lock after a few.
const (
	exitFailure = 1
	exitUsage   = 2
	exitStopped = 78 // RestartPreventExitStatus=78
)

func run(args []string, stdout, stderr io.Writer) int {
	checkOnly := len(args) > 0 && args[0] == "check"
	if checkOnly {
		args = args[1:]
	}
	flags := flag.NewFlagSet("keyagent", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	path := flags.String("config", "", "")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return 0
	case err == nil && flags.NArg() > 0:
		err = fmt.Errorf("unknown argument %q", flags.Arg(0))
	case err == nil && *path == "":
		err = errors.New("--config is missing")
	}
	if err != nil {
		fmt.Fprintf(stderr, "keyagent: %v; keyagent --help explains\n", err)
		return exitUsage
	}
	if checkOnly {
		err = check(*path, stdout)
	} else {
		err = serve(*path, slog.New(slog.NewTextHandler(stderr, nil)))
	}
	return status(err, stderr)
}

func status(err error, stderr io.Writer) int {
	switch {
	case err == nil:
		return 0
	case isStopped(err):
		fmt.Fprintf(stderr, "keyagent: %v\nkeyagent: not to be restarted before a person has looked (status %d)\n", err, exitStopped)
		return exitStopped
	}
	fmt.Fprintf(stderr, "keyagent: %v\n", err)
	return exitFailure
}

// check reads the configuration as serve would, and touches no device, state or socket.
func check(path string, stdout io.Writer) error {
	c, err := load(path, cmp.Or(os.Getenv("CREDENTIALS_DIRECTORY"), "/run/credentials/keyagent.service"), nil)
	if err != nil {
		return err
	}
	for _, l := range c.logs {
		fmt.Fprintf(stdout, "%s: %d of %d keys, %s\n", l.Origin, l.Threshold, len(l.Keys), l.source)
	}
	fmt.Fprintln(stdout, c.confinement(path))
	return nil
}

// serve runs until a signal, a failure, or a key that stops for good.
func serve(path string, log *slog.Logger) error {
	began := time.Now()
	ctx, signals := catchSignals()
	if err := harden(); err != nil {
		return err
	}
	inherited, err := takeInheritance()
	if err != nil {
		return err
	}
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	var users map[string]int
	var confined string
	if inherited != nil {
		users, confined = inherited.Users, inherited.Confined
	}
	c, err := load(path, os.Getenv("CREDENTIALS_DIRECTORY"), users)
	if err != nil {
		return err
	}
	if err := c.checkPrivileges(); err != nil {
		return err
	}
	l := &life{config: c, path: path, binary: binary, inherited: inherited, began: began, signals: signals, log: log, latch: newPINLatch(c.stateDir)}
	if inherited == nil { // or else it was told
		if l.manager, err = dialManager(); err != nil {
			return err
		}
	}
	confinement := c.confinement(path)
	if err := confinement.confine(binary, confined, log); err != nil {
		return err
	}
	l.confined = confinement.digest()
	return l.run(ctx)
}
