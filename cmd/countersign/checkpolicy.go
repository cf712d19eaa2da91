package main

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"countersign.dev/gate"
	"countersign.dev/policy"
	"countersign.dev/provenance"
)

// readPolicies reads those that are named, or the one that lies where it is looked for.
func readPolicies(paths []string) ([]gate.Policy, error) {
	optional := len(paths) == 0
	if optional {
		paths = []string{policyFile}
	}
	var all []gate.Policy
	for _, path := range paths {
		p, err := readPolicy(path)
		if optional && errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, judgeBy(p))
	}
	return all, nil
}

func judgeBy(p *policy.Policy) gate.Policy {
	return func(r *provenance.Result, now time.Time) (rulings []gate.Ruling) {
		for _, f := range p.Judge(r, now) {
			rulings = append(rulings, gate.Ruling{Rule: f.Rule, Severity: string(f.Severity), Message: f.Message})
		}
		return rulings
	}
}

// denial is the policy of a single file: an error of a rule refuses, and what else rules say is kept.
type denial struct {
	policies []gate.Policy
	now      time.Time
	said     []ruling
}

// ruling is what verify --json says of a rule.
type ruling struct {
	Rule     string `json:"rule"`
	Severity string `json:"severity"`
	Message  string `json:"message"`
}

func (d *denial) judge(r *provenance.Result) (denied error) {
	for _, judge := range d.policies {
		for _, f := range judge(r, d.now) {
			if d.said = append(d.said, ruling(f)); f.Severity == string(policy.Error) && denied == nil {
				denied = fmt.Errorf("rule %s: %s", f.Rule, f.Message)
			}
		}
	}
	return denied
}
