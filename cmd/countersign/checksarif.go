package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/gate"
)

// The part of SARIF 2.1.0 (OASIS, 27 March 2020) that is written.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Invocations []sarifInvocation `json:"invocations"`
		ColumnKind  string            `json:"columnKind"`
		Results     []sarifResult     `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID    string    `json:"id"`
		Short sarifText `json:"shortDescription"`
		Help  sarifText `json:"help"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifInvocation struct {
		ExecutionSuccessful bool `json:"executionSuccessful"`
		ExitCode            int  `json:"exitCode"`
	}
	sarifResult struct {
		RuleID       string            `json:"ruleId"`
		RuleIndex    int               `json:"ruleIndex"`
		Level        string            `json:"level"`
		Message      sarifText         `json:"message"`
		Locations    []sarifLocation   `json:"locations"`
		Fingerprints map[string]string `json:"partialFingerprints"`
		Properties   map[string]any    `json:"properties"`
	}
	sarifLocation struct {
		Physical sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI  string `json:"uri"`
		Base string `json:"uriBaseId,omitzero"`
	}
	sarifRegion struct {
		StartLine int `json:"startLine"`
	}
)

// sarif makes a result of each place of each finding; code scanning shows one place per result.
func sarif(r *gate.Report) sarifLog {
	run := sarifRun{ColumnKind: "utf16CodeUnits", Results: []sarifResult{}, Invocations: []sarifInvocation{{r.Status() != 2, r.Status()}},
		Tool: sarifTool{sarifDriver{Name: "countersign", InformationURI: "https://countersign.dev/", Rules: []sarifRule{}}}}
	seen := make(map[string]int)
	for _, f := range r.Findings {
		index := run.rule(f)
		for _, s := range f.Spots {
			same := strings.Join([]string{f.Code, f.Rule, f.Ecosystem, f.Purl, f.Name, filepath.ToSlash(s.Lockfile)}, "\n")
			seen[same]++
			sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%d", same, seen[same]))
			run.Results = append(run.Results, sarifResult{RuleID: f.Code, RuleIndex: index, Level: sarifLevel(f), Message: sarifText{sarifMessage(f)},
				Locations:    []sarifLocation{{sarifPhysical{sarifFile(s.Lockfile), sarifRegion{max(1, s.Line)}}}},
				Fingerprints: map[string]string{"countersign/v1": hex.EncodeToString(sum[:])},
				Properties:   map[string]any{"verdict": f.Verdict, "purl": f.Purl, "name": f.Name, "registry": f.Registry, "confusion": f.Confusion, "rule": f.Rule}})
		}
	}
	return sarifLog{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []sarifRun{run}}
}

// rule gives the index of the rule of a finding's code.
func (r *sarifRun) rule(f *gate.Finding) int {
	rules := &r.Tool.Driver.Rules
	if i := slices.IndexFunc(*rules, func(s sarifRule) bool { return s.ID == f.Code }); i >= 0 {
		return i
	}
	what := strings.ReplaceAll(f.Code, "-", " ")
	help := f.Advice
	if help == "" {
		help = what
	}
	*rules = append(*rules, sarifRule{f.Code, sarifText{what}, sarifText{plain(help)}})
	return len(*rules) - 1
}

func sarifLevel(f *gate.Finding) string {
	switch {
	case f.Verdict == gate.Refused || f.Verdict == gate.Unchecked:
		return "error"
	case f.Severity == "note":
		return "note"
	}
	return "warning"
}

func sarifMessage(f *gate.Finding) string {
	text := f.Name
	if f.Purl != "" {
		text += " (" + f.Purl + ")"
	}
	text += " is " + string(f.Verdict) + ": " + f.Detail + "."
	if f.Confusion {
		text += " This is what a dependency confusion attack looks like."
	}
	if f.Source != "" {
		text += " It is said to come from " + f.Source + "."
	}
	if f.Advice != "" {
		text += " What to do: " + f.Advice + "."
	}
	return plain(text)
}

// sarifFile names a lockfile relative to the folder that the program runs in, if it is there.
func sarifFile(path string) sarifArtifact {
	if filepath.IsAbs(path) {
		if folder, err := os.Getwd(); err == nil {
			if below, err := filepath.Rel(folder, path); err == nil && filepath.IsLocal(below) {
				path = below
			}
		}
	}
	if filepath.IsLocal(path) {
		return sarifArtifact{(&url.URL{Path: filepath.ToSlash(path)}).String(), "%SRCROOT%"}
	}
	if whole, err := filepath.Abs(path); err == nil {
		path = whole
	}
	return sarifArtifact{URI: (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String()}
}

func writeSARIF(w io.Writer, r *gate.Report) error {
	data, err := encodeJSON(sarif(r))
	if err != nil {
		return fmt.Errorf("--sarif: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\n", data)
	return err
}

// saveSARIF makes a file that was not there.
func saveSARIF(path string, r *gate.Report) error {
	data, err := encodeJSON(sarif(r))
	if err != nil {
		return fmt.Errorf("--sarif: %w", err)
	}
	return writeNew(path, append(data, '\n'), 0o644)
}

// encodeJSON writes the same bytes each time.
func encodeJSON(v any) ([]byte, error) {
	return json.Marshal(v, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
}
