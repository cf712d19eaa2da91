package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"countersign.dev/hsm"
)

// errObjections is the end of an inspection that found fault.
var errObjections = errors.New("Countersign objects")

// inspect prints what a module, a token or a key is. It changes nothing; only --sign uses the key.
func inspect(ctx context.Context, args []string, t terminal) error {
	flags := flag.NewFlagSet("inspect", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	key := flags.String("key", "", "")
	module := flags.String("module", "", "")
	sign := flags.Bool("sign", false, "")
	asJSON := flags.Bool("json", false, "")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("inspect: %v: %w", err, errUsage)
	}
	if (*key == "") == (*module == "") || *sign && *key == "" || flags.NArg() > 0 {
		return fmt.Errorf("inspect: give either --key URI, perhaps with --sign, or --module PATH: %w", errUsage)
	}
	u := hsm.URI{ModulePath: *module}
	if *key != "" {
		var err error
		if u, err = hsm.ParseURI(*key); err != nil {
			return fmt.Errorf("inspect: %w: %w", err, errUsage)
		}
	}
	report, err := hsm.Examine(ctx, u, *sign)
	if report.Module.Path != "" {
		err = errors.Join(print(t.out, report, *asJSON), err)
	}
	if err == nil {
		err = objected(report.Objections())
	}
	return err
}

func objected(list []hsm.Objection) error {
	if len(list) == 0 {
		return nil
	}
	fatal := 0
	for _, o := range list {
		if o.Fatal {
			fatal++
		}
	}
	return fmt.Errorf("%w: %d fatal, %d to new keys; ceremony --help says what that means", errObjections, fatal, len(list)-fatal)
}

func print(w io.Writer, r hsm.Report, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	p := page{w}
	p.module(r.Module)
	for _, t := range r.Tokens {
		p.token(t)
		for _, k := range t.Keys {
			p.key(k)
		}
	}
	return nil
}

// page writes a report for people.
type page struct{ io.Writer }

// line keeps what tokens report from driving the terminal.
func (p page) line(name, format string, args ...any) {
	text := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, fmt.Sprintf(format, args...))
	fmt.Fprintln(p, strings.TrimRight(fmt.Sprintf("  %-13s %s", name, text), " "))
}

func (p page) module(m hsm.ModuleReport) {
	fmt.Fprintf(p, "Module %q\n", m.Path)
	p.line("library", "%s, %s %s, Cryptoki %s", m.Manufacturer, m.Description, m.Version, m.Cryptoki)
	p.line("slots", "%d, of which %d with a blank token", m.Slots, m.Blank)
}

func (p page) token(t *hsm.TokenReport) {
	fmt.Fprintf(p, "\nToken %q\n", t.Label)
	p.line("serial", "%s", t.Serial)
	p.line("device", "%s, %s, hardware %s, firmware %s", t.Manufacturer, t.Model, t.Hardware, t.Firmware)
	p.line("slot", "%d", t.Slot)
	p.line("flags", "%s", strings.Join(t.Flags, " "))
	p.line("user PIN", "%s, %d to %d bytes", t.PIN.State, t.PIN.Min, t.PIN.Max)
	p.line("sessions", "open %s, at most %s, read-write at most %s", number(t.Sessions.Open), number(t.Sessions.Max), number(t.Sessions.MaxReadWrite))
	for _, m := range t.Mechanisms {
		if m.Offered {
			p.line("mechanism", "%s 0x%x, key size %d to %d, %s", m.Name, m.Number, m.MinKey, m.MaxKey, strings.Join(m.Flags, " "))
		} else {
			p.line("mechanism", "%s 0x%x: not offered", m.Name, m.Number)
		}
	}
	p.profile(t.Profile)
	p.objections(t.Objections)
	switch {
	case t.Keys == nil:
		p.line("keys", "not looked at: name the token with token= in --key")
	case !t.LoggedIn:
		p.line("keys", "%d public, seen without a login; private ones and their attributes take pin-source= in --key", len(t.Keys))
	default:
		p.line("keys", "%d examined, after a login", len(t.Keys))
	}
}

func (p page) profile(known hsm.ProfileReport) {
	if known.Name == "" {
		p.line("profile", "none: nothing is known of this vendor's tokens, nothing is excused")
		return
	}
	p.line("profile", "%s", known.Name)
	if known.MaxMessage > 0 {
		p.line("note", "signs messages of up to about %d bytes", known.MaxMessage)
	}
	for _, text := range known.Notes {
		p.line("note", "%s", text)
	}
}

func (p page) key(k *hsm.KeyReport) {
	fmt.Fprintf(p, "\nKey %q\n", k.Label)
	p.line("id", "%s", k.ID)
	p.line("uri", "%s", k.URI)
	if k.PublicKey != "" {
		p.line("public_key", "%s", k.PublicKey)
		p.line("raw", "%s", k.Point)
	}
	for _, name := range slices.Sorted(maps.Keys(k.Attributes)) {
		value := "not reported"
		if v := k.Attributes[name]; v != nil {
			value = fmt.Sprint(*v)
		}
		p.line("attribute", "%-21s %s", name, value)
	}
	if k.Attributes != nil {
		p.line("allowed", "%s", mechanisms(k.AllowedMechanisms...))
		p.line("made by", "%s", mechanisms(k.KeyGenMechanism...))
	}
	if k.SelfTest != nil {
		took := time.Duration(k.SelfTest.Seconds * float64(time.Second)).Round(time.Microsecond)
		p.line("self-test", "%s after %s", map[bool]string{true: "verified", false: "failed"}[k.SelfTest.Verified], took)
	}
	for _, text := range k.Notes {
		p.line("note", "%s", text)
	}
	p.objections(k.Objections)
}

func (p page) objections(list []hsm.Objection) {
	for _, o := range list {
		weight := "new keys"
		if o.Fatal {
			weight = "fatal"
		}
		p.line("OBJECTION", "(%s) %s. %s.", weight, o.What, strings.ToUpper(o.Do[:1])+o.Do[1:])
	}
}

func number(n *uint) string {
	if n == nil {
		return "not stated"
	}
	return fmt.Sprint(*n)
}

func mechanisms(list ...uint) string {
	if len(list) == 0 {
		return "not reported"
	}
	return fmt.Sprintf("%#x", list)
}
