package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/provenance"
)

// Limits of one batch request.
const (
	maxLines = 1000
	maxBatch = 16 << 20 // bytes
)

// batch is one request with many submissions, of which some may have been answered by an earlier attempt.
type batch struct {
	lines   [][]byte // as sent, each with its newline
	items   []*submission
	size    int // bytes of the lines
	open    map[string]int
	refused int
	t       terminal
}

func newBatch(t terminal) *batch { return &batch{open: make(map[string]int), t: t} }

// add takes a submission if there is room.
func (b *batch) add(item *submission) (bool, error) {
	ref := strconv.Itoa(len(b.items))
	line, err := item.request(ref)
	if err != nil {
		return false, err
	}
	if line = append(line, '\n'); len(b.items) == maxLines || b.size+len(line) > maxBatch {
		return false, nil
	}
	b.lines, b.items, b.size, b.open[ref] = append(b.lines, line), append(b.items, item), b.size+len(line), len(b.items)
	return true, nil
}

// submitBatches sends as few batches as the limits allow, one after the other.
func (s *service) submitBatches(all []*submission, t terminal) error {
	refused, sent := 0, 0
	for sent < len(all) {
		b := newBatch(t)
		for sent+len(b.items) < len(all) {
			ok, err := b.add(all[sent+len(b.items)])
			if err != nil {
				return err
			}
			if !ok {
				break
			}
		}
		err := s.post("/countersignatures:batch", "application/x-ndjson", b.body, b.read)
		sent += len(b.items)
		refused += b.refused
		t.note("submit: %d of %d sent, %d refused", sent, len(all), refused)
		if err != nil {
			return fmt.Errorf("%d artifacts of this batch have no answer, %d more were not sent: %w", len(b.open), len(all)-sent, err)
		}
	}
	if refused > 0 {
		return exitStatus(1)
	}
	return nil
}

// body is the lines that have no answer yet.
func (b *batch) body() []byte {
	out := make([]byte, 0, b.size)
	for i, line := range b.lines {
		if _, open := b.open[strconv.Itoa(i)]; open {
			out = append(out, line...)
		}
	}
	return out
}

// batchAnswer is one line of the answer.
type batchAnswer struct {
	Ref     string         `json:"ref"`
	Line    int            `json:"line"`
	Status  int            `json:"status"`
	Bundle  jsontext.Value `json:"bundle"`
	Problem jsontext.Value `json:"problem"`
}

// read takes the answers as they come. Lines that are left out, or that say so, are sent again.
func (b *batch) read(_ int, r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, provenance.MaxBundle+maxProblem)
	again := transient{errors.New("some lines have no answer"), 0}
	for lines.Scan() {
		var a batchAnswer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			if lines.Err() != nil {
				break // the last line, and it broke off
			}
			return suspect(err)
		}
		err := b.settle(a)
		var later transient
		if errors.As(err, &later) {
			again = transient{later.error, max(again.after, later.after)}
		} else if err != nil {
			return err
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return suspect(errors.New("a line is longer than a bundle can be"))
	case len(b.open) > 0 && err != nil:
		return transient{fmt.Errorf("the answer broke off: %w", err), again.after}
	case len(b.open) > 0:
		return again
	}
	return nil
}

// settle acts on one answer.
func (b *batch) settle(a batchAnswer) error {
	i, open := b.open[a.Ref]
	if !open {
		return suspect(fmt.Errorf("it has a line for %q, which was not sent or was answered", a.Ref))
	}
	item := b.items[i]
	if a.Problem == nil {
		if err := item.accept(a.Status, a.Bundle, b.t); err != nil {
			return fmt.Errorf("%s: %w", item.artifact, err)
		}
		delete(b.open, a.Ref)
		return nil
	}
	p := parseProblem(a.Problem)
	switch {
	case p == nil:
		return suspect(fmt.Errorf("a problem of an unknown kind for %s", item.artifact))
	case p.Retryable:
		return transient{fmt.Errorf("%s: %w", item.artifact, p), time.Duration(p.RetryAfter) * time.Second}
	}
	b.t.complain("submit: "+item.artifact, p.hinted())
	b.refused++
	delete(b.open, a.Ref)
	return nil
}
