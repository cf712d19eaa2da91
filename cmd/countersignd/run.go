package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"syscall"

	"countersign.dev/ledger"
	"countersign.dev/provenance"
	"countersign.dev/signer"
)

const (
	exitFailure = 1
	exitUsage   = 2
)

func run(args []string, stdout, stderr io.Writer) int {
	verb := "serve"
	if len(args) > 0 && (args[0] == "check" || args[0] == "audit") {
		verb, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet("countersignd", flag.ContinueOnError)
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
		fmt.Fprintf(stderr, "countersignd: %v; countersignd --help explains\n", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	c, err := loadConfig(*path)
	if err == nil {
		switch verb {
		case "serve":
			err = c.serve(ctx, slog.New(slog.NewTextHandler(stderr, nil)))
		case "audit":
			err = c.audit(ctx, stdout)
		case "check":
			for _, r := range c.Registry {
				fmt.Fprintf(stdout, "%s: %d agents\n", r.Name, len(r.Agent))
			}
		}
	}
	if err != nil {
		fmt.Fprintf(stderr, "countersignd: %v\n", err)
		return exitFailure
	}
	return 0
}

// audit reads every entry of every log and compares it with the tree, the checkpoint and the index, folding the state anew.
func (c *config) audit(ctx context.Context, stdout io.Writer) error {
	db, err := ledger.Open(c.Ledger)
	if err != nil {
		return err
	}
	for _, origin := range db.Origins() {
		if err = auditLog(ctx, db, origin, stdout); err != nil {
			break
		}
	}
	return errors.Join(err, db.Close())
}

func auditLog(ctx context.Context, db *ledger.DB, origin string, stdout io.Writer) error {
	log, err := db.Log(origin)
	if err != nil {
		return err
	}
	err = log.Check(ctx, signer.Keys, func(done, total uint64) {
		fmt.Fprintf(stdout, "%s: %d of %d entries\n", origin, done, total)
	})
	if err != nil {
		return err
	}
	registry, _, err := provenance.ParseOrigin(origin)
	if err != nil {
		return err
	}
	if err := signer.CheckState(db, registry); err != nil {
		return fmt.Errorf("%s: %w", origin, err)
	}
	cp := log.Checkpoint()
	fmt.Fprintf(stdout, "%s: %d entries are as they were logged, %d of them under the stored checkpoint\n", origin, log.Size(), cp.Size)
	return nil
}
