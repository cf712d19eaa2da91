package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/agent"
	"countersign.dev/attest"
	"countersign.dev/hsm"
	"countersign.dev/ledger"
	"countersign.dev/provenance"
)

// ceremony is one run of create: the plan, and what has been made of it so far.
type ceremony struct {
	*config
	terminal
	now      time.Time
	root     []*madeKey
	log      []*madeKey
	enrol    []*madeKey
	identity *provenance.Identity
}

// madeKey is a key in its token, open for signing while the ceremony needs it.
type madeKey struct {
	public provenance.PublicKey
	uri    fmt.Stringer
	signer signingKey

	sealed   *sealedKey // where a TPM has it; then there is no signer before it is approved
	evidence []byte     // of where it lives
}

// signingKey is a key in a token, or one that a TPM has sealed.
type signingKey interface {
	crypto.Signer
	Close() error
}

func create(ctx context.Context, args []string, t terminal) error {
	flags := flag.NewFlagSet("create", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	path := flags.String("config", "", "")
	if err := flags.Parse(args); err != nil || *path == "" || flags.NArg() > 0 {
		return fmt.Errorf("create: give --config FILE and nothing else: %w", errUsage)
	}
	now := time.Now()
	c, err := loadConfig(*path, now)
	if err != nil {
		return err
	}
	cer := &ceremony{config: c, terminal: t, now: now}
	if err := cer.checkTokens(ctx); err != nil {
		return err
	}
	if err := cer.checkTPMs(ctx); err != nil {
		return explained(err)
	}
	if err := cer.confirm(ctx); err != nil {
		return err
	}
	defer cer.closeKeys()
	for _, step := range []func(context.Context) error{cer.makeKeys, cer.approveKeys, cer.makeEvidence, cer.makeIdentity, cer.makeLog, cer.writeOutput} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("%w\nThe ceremony stopped here. What it made so far is listed above; nothing uses it yet. "+
				"Before you begin again remove %s", explained(err), cer.remains())
		}
	}
	return nil
}

// remains is what a ceremony that was stopped may have made.
func (c *ceremony) remains() string {
	text := fmt.Sprintf("the tokens, the watermarks, %s and %s", c.Ledger, c.Output)
	kept := ""
	for _, k := range c.Log.Key {
		if k.TPM != nil {
			text += ", " + strings.Join(k.TPM.made(), ", ")
			kept = ". Keep the files that owner_auth and lockout_auth name: the TPM has those authorisations now, or gets them"
		}
	}
	return text + kept
}

// checkTokens looks for every token before the first is made: those to be made must not exist, the others must.
func (c *ceremony) checkTokens(ctx context.Context) error {
	for _, k := range c.keys() {
		tokens, err := hsm.Tokens(ctx, k.Module)
		if err != nil {
			return err
		}
		exists := slices.ContainsFunc(tokens, func(t hsm.TokenInfo) bool {
			return t.Label == k.Token && (k.Serial == "" || t.Serial == k.Serial)
		})
		switch {
		case exists && k.SOPINFile != "":
			return fmt.Errorf("token %s exists: leave out so_pin_file to make the key in it, or choose another label", k.Token)
		case !exists && k.SOPINFile == "":
			return fmt.Errorf("token %s does not exist: give so_pin_file to make it", k.Token)
		}
		for _, pin := range []string{k.PINFile, k.SOPINFile} {
			if _, err := os.Stat(pin); pin != "" && err != nil {
				return fmt.Errorf("token %s: %w; ceremony --help shows how to make a PIN", k.Token, err)
			}
		}
	}
	return nil
}

// accept is what has to be typed where one missing agent could be used to fork the log.
const accept = "I accept that one agent can be forked"

// confirm shows the plan, and asks where the threshold lets a hostile daemon fork the log.
func (c *ceremony) confirm(ctx context.Context) error {
	m, n := c.Log.Threshold, len(c.Log.Key)
	c.say("Registry %s, log %s: %d of %d agents sign each head; root %d of %d; identity until %s.",
		c.Registry, c.origin, m, n, c.Root.Threshold, len(c.Root.Key), provenance.At(c.expires))
	for _, ns := range c.namespaces {
		if w := ns.Warning(); w != "" {
			c.say("Note: %s", w)
		}
	}
	if 2*m > n {
		return nil
	}
	c.say("With %d of %d, agents that do not know each other's heads can be led apart by whoever controls the daemon.", m, n)
	if err := c.typed(ctx, accept); err != nil {
		return fmt.Errorf("%w; nothing was made. Choose a threshold above half, such as 2 of 3", err)
	}
	return nil
}

func (c *ceremony) makeKeys(ctx context.Context) error {
	for i := range c.Root.Key {
		made, err := c.makeKey(ctx, &c.Root.Key[i])
		if err != nil {
			return err
		}
		c.root = append(c.root, made)
	}
	for i := range c.Log.Key {
		made, err := c.makeLogKey(ctx, &c.Log.Key[i])
		if err != nil {
			return err
		}
		c.log = append(c.log, made)
	}
	for i := range c.Enrol.Key {
		made, err := c.makeKey(ctx, &c.Enrol.Key[i])
		if err != nil {
			return err
		}
		c.enrol = append(c.enrol, made)
	}
	return nil
}

func (c *ceremony) makeLogKey(ctx context.Context, k *logConfig) (*madeKey, error) {
	if k.TPM != nil {
		return c.sealKey(ctx, k)
	}
	return c.makeKey(ctx, &k.keyConfig)
}

func (c *ceremony) makeKey(ctx context.Context, k *keyConfig) (*madeKey, error) {
	u := k.uri()
	if k.SOPINFile != "" {
		serial, err := hsm.InitToken(ctx, k.Module, k.Token, k.SOPINFile, k.PINFile)
		if err != nil {
			return nil, err
		}
		u.Serial = serial
		c.say("Made token %s, serial %s.", k.Token, serial)
	}
	if u.Serial == "" {
		return nil, fmt.Errorf("token %s: give its serial, or so_pin_file to make it", k.Token)
	}
	generated, err := hsm.GenerateKey(ctx, u, hsm.KeyOptions{})
	if err != nil {
		return nil, err
	}
	made := &madeKey{uri: generated.URI}
	if made.public, err = provenance.NewPublicKey(generated.PublicKey); err != nil {
		return nil, fmt.Errorf("token %s: %w", k.Token, err)
	}
	made.signer, err = hsm.Open(ctx, hsm.Config{URI: generated.URI, PublicKey: generated.PublicKey})
	if err != nil {
		return nil, err
	}
	c.say("Made key %s in token %s: %s.", k.Object, k.Token, made.public.Fingerprint())
	return made, nil
}

func (c *ceremony) closeKeys() {
	for _, keys := range [][]*madeKey{c.root, c.log, c.enrol} {
		for _, k := range keys {
			if k.signer != nil {
				k.signer.Close()
			}
		}
	}
}

// makeEvidence collects what shows where the log's keys live; the identity names it by its digest.
func (c *ceremony) makeEvidence(ctx context.Context) error {
	for i, k := range c.log {
		var err error
		if k.evidence, err = (evidenceOrder{key: k.uri.String(), public: k.public}).collect(ctx); err != nil {
			return fmt.Errorf("evidence of log key %s: %w", c.Log.Key[i].Name, err)
		}
	}
	return nil
}

func (c *ceremony) makeIdentity(context.Context) error {
	id := provenance.Identity{Registry: c.Registry, Version: 1, Namespaces: c.namespaces, Excluded: []provenance.Exclusion{},
		Root: provenance.Root{Threshold: c.Root.Threshold}, Issued: c.now, Expires: c.expires}
	log := provenance.Log{Origin: c.origin, Threshold: c.Log.Threshold}
	var signers []crypto.Signer
	for _, k := range c.root {
		id.Root.Keys = append(id.Root.Keys, k.public)
		signers = append(signers, k.signer)
	}
	for _, k := range c.log {
		log.Keys = append(log.Keys, provenance.LogKey{PublicKey: k.public})
		id.Evidence = append(id.Evidence, provenance.KeyEvidence{Key: k.public.Fingerprint(), Digest: attest.Digest(k.evidence)})
	}
	for _, k := range c.enrol {
		id.Enrol = append(id.Enrol, provenance.EnrolKey{PublicKey: k.public})
	}
	id.Logs = []provenance.Log{log}
	var err error
	if c.identity, err = id.Sign(signers...); err != nil {
		return err
	}
	if _, err := provenance.ParseChain([]*provenance.Envelope{c.identity.Envelope}); err != nil {
		return err
	}
	c.say("Made the identity of %s, version 1.", c.Registry)
	return nil
}

// makeLog creates the ledger with the identity as entry 0, and has every agent's key sign its first head through the same
// guard that the agents run. Each agent's watermark is that head.
func (c *ceremony) makeLog(ctx context.Context) error {
	db, err := ledger.Create(c.Ledger)
	if err != nil {
		return err
	}
	if err := errors.Join(c.fillLedger(ctx, db), db.Close()); err != nil {
		return err
	}
	c.say("Made the ledger %s with log %s.", c.Ledger, c.origin)
	return chown(c.Ledger, c.DaemonUser)
}

func (c *ceremony) fillLedger(ctx context.Context, db *ledger.DB) error {
	entry := c.identity.Envelope.JSON()
	log, err := db.CreateLog(c.Registry, c.origin, ledger.Entry{Data: entry, State: true})
	if err != nil {
		return err
	}
	head := agent.Head{Size: 1, Root: tlog.RecordHash(entry)}
	var signatures []provenance.KeySignature
	for i, k := range c.log {
		signature, err := c.firstSignature(ctx, c.Log.Key[i], k, head)
		if err != nil {
			return err
		}
		signatures = append(signatures, provenance.KeySignature{Key: k.public, Signature: signature[:]})
	}
	note := provenance.SignedNote(provenance.Head{Origin: c.origin, Size: 1, Root: head.Root}, signatures)
	return log.StoreCheckpoint(ctx, ledger.Checkpoint{Size: 1, Root: head.Root, Note: []byte(note)})
}

func (c *ceremony) firstSignature(ctx context.Context, k logConfig, key *madeKey, head agent.Head) (signature [64]byte, err error) {
	if err := agent.CreateState(k.StateDir, c.origin, head); err != nil {
		return signature, err
	}
	state, err := agent.OpenState(k.StateDir, c.origin)
	if err != nil {
		return signature, err
	}
	defer state.Close()
	guard, err := agent.NewGuard(agent.Log{Origin: c.origin, Keys: c.logKeys(), Threshold: c.Log.Threshold}, key.signer, state)
	if err != nil {
		return signature, err
	}
	if signature, err = guard.Sign(ctx, head.Size, head.Root, nil); err != nil {
		return signature, fmt.Errorf("log key %s: %w", k.Name, err)
	}
	return signature, chown(agent.StatePath(k.StateDir, c.origin), k.User)
}

func (c *ceremony) logKeys() []ed25519.PublicKey {
	var keys []ed25519.PublicKey
	for _, k := range c.log {
		keys = append(keys, k.public.Ed25519())
	}
	return keys
}

// chown gives a path and all below it to a user; "" leaves it.
func chown(path, name string) error {
	if name == "" {
		return nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	return filepath.WalkDir(path, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, uid, gid)
	})
}
