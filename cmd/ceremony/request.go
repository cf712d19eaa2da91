package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign.dev/provenance"
	"countersign.dev/strict"
	"countersign.dev/tpm"
)

// approvalRequest is what an approver decides about: which key, on which appliance, in which state of the machine, up to
// which generation. Nothing vouches for it: the approver compares it with what is expected.
type approvalRequest struct {
	public    ed25519.PublicKey
	appliance string
	approver  *ecdsa.PublicKey
	policy    tpm.Policy
	predicted []uint // registers whose values were given, not read
}

type requestDocument struct {
	Version   int               `json:"version"`
	PublicKey string            `json:"publicKey"` // base64 of SubjectPublicKeyInfo, like approver
	Appliance string            `json:"appliance"`
	Approver  string            `json:"approver"`
	PCRs      map[string]string `json:"pcrs"`      // hexadecimal, of the SHA-256 bank
	Predicted []string          `json:"predicted"` // may be empty
	Limit     uint64            `json:"limit"`
}

// measure is a request for the present state and generation.
func measure(ctx context.Context, d *tpm.Device, s *tpm.Sealed, pcrs []uint) (r approvalRequest, err error) {
	r = approvalRequest{public: s.PublicKey, appliance: s.Appliance, approver: s.Approver}
	if r.policy.PCRs, err = d.ReadPCRs(ctx, pcrs...); err != nil {
		return r, err
	}
	r.policy.Limit, err = d.Counter(ctx)
	return r, err
}

func (r approvalRequest) format() ([]byte, error) {
	public, err := x509.MarshalPKIXPublicKey(r.public)
	if err != nil {
		return nil, err
	}
	approver, err := x509.MarshalPKIXPublicKey(r.approver)
	if err != nil {
		return nil, err
	}
	d := requestDocument{Version: 1, PublicKey: base64.StdEncoding.EncodeToString(public), Appliance: r.appliance,
		Approver: base64.StdEncoding.EncodeToString(approver), PCRs: map[string]string{}, Predicted: []string{}, Limit: r.policy.Limit}
	for i, v := range r.policy.PCRs {
		d.PCRs[fmt.Sprint(i)] = hex.EncodeToString(v)
	}
	for _, i := range r.predicted {
		d.Predicted = append(d.Predicted, fmt.Sprint(i))
	}
	data, err := json.MarshalIndent(d, "", "  ")
	return append(data, '\n'), err
}

func parseRequest(data []byte) (r approvalRequest, err error) {
	var d requestDocument
	if err := strict.JSON(data, &d); err != nil {
		return r, err
	}
	if d.Version != 1 {
		return r, errors.New("not a request of version 1")
	}
	r.appliance, r.policy = d.Appliance, tpm.Policy{PCRs: tpm.PCRs{}, Limit: d.Limit}
	if err := checkAppliance(r.appliance); err != nil {
		return r, err
	}
	if r.public, err = decodeKey[ed25519.PublicKey](d.PublicKey); err != nil {
		return r, fmt.Errorf("publicKey: %w", err)
	}
	if r.approver, err = decodeKey[*ecdsa.PublicKey](d.Approver); err != nil {
		return r, fmt.Errorf("approver: %w", err)
	}
	if r.approver.Curve != elliptic.P256() {
		return r, errors.New("approver: not on P-256")
	}
	for name, value := range d.PCRs {
		i, err := decodeIndex(name)
		if err != nil {
			return r, err
		}
		if r.policy.PCRs[i], err = decodeValue(value); err != nil {
			return r, fmt.Errorf("PCR %d: %w", i, err)
		}
	}
	for _, name := range d.Predicted {
		i, err := decodeIndex(name)
		if err != nil {
			return r, err
		}
		if r.policy.PCRs[i] == nil {
			return r, fmt.Errorf("PCR %d is predicted and has no value", i)
		}
		r.predicted = append(r.predicted, i)
	}
	return r, checkPCRs(indexes(r.policy.PCRs))
}

func decodeKey[K any](text string) (key K, err error) {
	der, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return key, errors.New("not base64")
	}
	any, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return key, err
	}
	key, ok := any.(K)
	if !ok {
		return key, fmt.Errorf("a %T", any)
	}
	return key, nil
}

func decodeIndex(name string) (uint, error) {
	i, err := strconv.ParseUint(name, 10, 8)
	if err != nil || strconv.FormatUint(i, 10) != name {
		return 0, fmt.Errorf("%.16q is not a register", name)
	}
	return uint(i), nil
}

func decodeValue(text string) ([]byte, error) {
	value, err := hex.DecodeString(text)
	if err != nil || len(value) != sha256.Size || hex.EncodeToString(value) != text {
		return nil, errors.New("not 64 hexadecimal digits in lower case")
	}
	return value, nil
}

func indexes(p tpm.PCRs) []uint { return slices.Sorted(maps.Keys(p)) }

// write makes the file and shows what is in it.
func (r approvalRequest) write(path string, t terminal) error {
	data, err := r.format()
	if err != nil {
		return err
	}
	if err := writeNew(path, string(data)); err != nil {
		return err
	}
	t.say("Wrote the request %s:", path)
	r.show(t)
	return nil
}

func (r approvalRequest) show(t terminal) {
	t.say("  key         %s\n  appliance   %s\n  generation  up to %d", fingerprint(r.public), r.appliance, r.policy.Limit)
	t.state(r.policy.PCRs)
	for _, i := range r.predicted {
		t.say("  PCR %d is predicted, not what it is now", i)
	}
}

// state prints registers.
func (t terminal) state(pcrs tpm.PCRs) {
	for _, i := range indexes(pcrs) {
		note := ""
		if slices.Max(pcrs[i]) == 0 || slices.Min(pcrs[i]) == 0xff {
			note = "  (nothing was measured into it)"
		}
		t.say("  PCR %-7d %x%s", i, pcrs[i], note)
	}
}

// sign has the approver's key sign what is requested.
func (r approvalRequest) sign(keyFile string, notAfter time.Time) (tpm.Approval, error) {
	key, err := readApproverKey(keyFile)
	if err != nil {
		return tpm.Approval{}, err
	}
	if !sameApprover(r.approver, &key.PublicKey) {
		return tpm.Approval{}, fmt.Errorf("%s is not the approver of this key: another one was named when it was sealed", keyFile)
	}
	sealed := tpm.Sealed{PublicKey: r.public, Appliance: r.appliance}
	return tpm.Approve(key, sealed.Ref(), r.policy, notAfter)
}

// request is the verb that asks for one more approval.
func request(ctx context.Context, args []string, t terminal) error {
	var pcrs pcrFlag
	expected := tpm.PCRs{}
	flags := flag.NewFlagSet("request", flag.ContinueOnError)
	u := keyFlag(flags)
	flags.Var(&pcrs, "pcr", "")
	flags.Func("expect", "", func(s string) error {
		name, text, _ := strings.Cut(s, "=")
		i, err := decodeIndex(name)
		if err == nil {
			expected[i], err = decodeValue(text)
		}
		return err
	})
	next := flags.Bool("next", false, "")
	out := flags.String("out", "", "")
	if err := parse(flags, args, "key", "pcr", "out"); err != nil {
		return err
	}
	if err := refuseExisting(*out); err != nil {
		return err
	}
	sealed, err := readSealed(u.URI)
	if err != nil {
		return err
	}
	r, err := measure(ctx, tpm.NewDevice(u.Device, 0), sealed, pcrs)
	if err != nil {
		return err
	}
	for i, value := range expected {
		if r.policy.PCRs[i] == nil {
			return fmt.Errorf("tpm request: --expect %d: name it with --pcr too: %w", i, errTPMUsage)
		}
		r.policy.PCRs[i] = value
	}
	r.predicted = indexes(expected)
	if *next {
		r.policy.Limit++
	}
	return r.write(*out, t)
}

// approve is the approver's verb. It needs no TPM and no network.
func approve(ctx context.Context, args []string, t terminal) error {
	flags := flag.NewFlagSet("approve", flag.ContinueOnError)
	requestFile := flags.String("request", "", "")
	keyFile := flags.String("approver", "", "")
	notAfter := flags.String("not-after", "", "")
	out := flags.String("out", "", "")
	if err := parse(flags, args, "request", "approver", "not-after", "out"); err != nil {
		return err
	}
	var end provenance.Time
	if err := end.UnmarshalText([]byte(*notAfter)); err != nil {
		return fmt.Errorf("tpm approve: --not-after: %w", err)
	}
	if !end.Time.After(time.Now()) {
		return errors.New("tpm approve: --not-after is over: the approval would be expired from the start")
	}
	if err := refuseExisting(*out); err != nil {
		return err
	}
	data, err := os.ReadFile(*requestFile)
	if err != nil {
		return err
	}
	r, err := parseRequest(data)
	if err != nil {
		return fmt.Errorf("%s: %w", *requestFile, err)
	}
	t.say("You are about to let this machine unseal this key, with its PIN, until %s:", end)
	r.show(t)
	t.say("Compare the values with what this firmware and this kernel should give, and the key with the registry's.")
	if err := t.typed(ctx, r.appliance); err != nil {
		return fmt.Errorf("%w; nothing was signed", err)
	}
	approval, err := r.sign(*keyFile, end.Time)
	if err != nil {
		return err
	}
	if err := writeNew(*out, string(tpm.FormatApprovals([]tpm.Approval{approval}))); err != nil {
		return err
	}
	t.say("Signed: %s. It is no secret; bring it to the machine.", *out)
	return nil
}
