// Command ceremony creates what the daemons may not: tokens, keys, identities, logs and first watermarks. It refuses
// whatever exists already. See ceremony --help.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := private(); err != nil {
		fmt.Fprintln(os.Stderr, "ceremony:", err)
		os.Exit(1)
	}
	os.Exit(run(ctx, os.Args[1:], terminal{os.Stdin, os.Stdout, os.Stderr}))
}

var errUsage = errors.New("see ceremony --help")

// run gives the exit status: 0 done, 1 not done, 2 wrong arguments, 3 inspected and objected to.
func run(ctx context.Context, args []string, t terminal) int {
	verb := ""
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	var err error
	switch verb {
	case "create":
		err = create(ctx, args, t)
	case "enrol":
		err = enrol(ctx, args, t)
	case "end-enrolment":
		err = endEnrolment(ctx, args, t)
	case "inspect":
		err = inspect(ctx, args, t)
	case "tpm":
		err = sealedKeys(ctx, args, t)
	case "attest":
		err = attestKey(ctx, args, t)
	case "--help", "-h", "help":
		fmt.Fprint(t.out, usage)
		return 0
	default:
		err = fmt.Errorf("unknown command %q: %w", verb, errUsage)
	}
	if err != nil {
		fmt.Fprintln(t.err, "ceremony:", err)
	}
	switch {
	case errors.Is(err, errUsage):
		return 2
	case errors.Is(err, errObjections):
		return 3
	case err != nil:
		return 1
	}
	return 0
}
