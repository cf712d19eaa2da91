package provenance

import (
	"bytes"
	"errors"
	"fmt"

	"countersign.dev/strict"
)

// MaxStatusDocument is the most bytes that a status document has.
const MaxStatusDocument = 64 << 20

// StatusDocument lists every withdrawal and every ended enrolment in a registry's logs, up to a size of each. It is made
// of the logs alone and has one spelling: whoever reads them can make it again and compare the bytes.
type StatusDocument struct {
	Registry    string                `json:"registry"`
	Logs        []CoveredLog          `json:"logs"`            // all, by number; the closed ones up to their anchor
	Withdrawals []WithdrawnCoordinate `json:"withdrawals"`     // by log and index; of several of a coordinate the first
	Ended       []EndedEnrolment      `json:"endedEnrolments"` // by log and index; of several of a certificate the first

	withdrawn, ended map[string]int // places in the lists, by purl and by enrolment; made by check
}

// CoveredLog is the part of a log that a document covers: its first Size entries.
type CoveredLog struct {
	Origin string `json:"origin"`
	Size   uint64 `json:"size"`
}

// WithdrawnCoordinate is what a Withdrawal in a log says.
type WithdrawnCoordinate struct {
	Purl        string `json:"purl"`
	Origin      string `json:"origin"`
	Index       uint64 `json:"index"`
	WithdrawnAt Time   `json:"withdrawnAt"`
	Reason      string `json:"reason"`
}

// EndedEnrolment is what an EnrolmentEnd in a log says.
type EndedEnrolment struct {
	Enrolment string `json:"enrolment"` // "sha256:" of the certificate's payload
	Publisher string `json:"publisher"` // fingerprint of its key
	Origin    string `json:"origin"`
	Index     uint64 `json:"index"`
	Ended     Time   `json:"ended"` // the enrolment officer's word
	Reason    string `json:"reason"`
}

// ParseStatusDocument accepts exactly what JSON writes.
func ParseStatusDocument(data []byte) (*StatusDocument, error) {
	if len(data) > MaxStatusDocument {
		return nil, fmt.Errorf("status document: %d bytes, at most %d are allowed", len(data), MaxStatusDocument)
	}
	d := new(StatusDocument)
	if err := strict.JSON(data, d); err != nil {
		return nil, fmt.Errorf("status document: %w", err)
	}
	again, err := d.encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, data) {
		return nil, errors.New("status document: not in its one spelling")
	}
	return d, nil
}

// JSON is the document's bytes. A document that ParseStatusDocument would refuse is an error.
func (d *StatusDocument) JSON() ([]byte, error) {
	unshared := *d
	return unshared.encode()
}

// encode is JSON, and makes the places of the look-ups.
func (d *StatusDocument) encode() ([]byte, error) {
	if err := d.check(); err != nil {
		return nil, fmt.Errorf("status document: %w", err)
	}
	data, err := encode(d)
	if err == nil && len(data) > MaxStatusDocument {
		err = fmt.Errorf("%d bytes, at most %d are allowed", len(data), MaxStatusDocument)
	}
	if err != nil {
		return nil, fmt.Errorf("status document: %w", err)
	}
	return data, nil
}

func (d *StatusDocument) check() error {
	if err := CheckRegistry(d.Registry); err != nil {
		return err
	}
	if err := d.checkLogs(); err != nil {
		return err
	}
	if err := d.checkWithdrawals(); err != nil {
		return fmt.Errorf("withdrawals: %w", err)
	}
	if err := d.checkEnded(); err != nil {
		return fmt.Errorf("endedEnrolments: %w", err)
	}
	return nil
}

func (d *StatusDocument) checkLogs() error {
	if len(d.Logs) == 0 {
		return errors.New("logs is missing or empty")
	}
	var last uint64
	for i, l := range d.Logs {
		of, n, err := ParseOrigin(l.Origin)
		switch {
		case err != nil:
			return fmt.Errorf("logs: %w", err)
		case of != d.Registry:
			return fmt.Errorf("logs: %s is not a log of %s", l.Origin, d.Registry)
		case i > 0 && n <= last:
			return fmt.Errorf("logs: %s is not in the order of numbers, or twice", l.Origin)
		case l.Size == 0 || l.Size > strict.MaxInteger:
			return fmt.Errorf("logs: %s: size is not from 1 to 2^53-1", l.Origin)
		}
		last = n
	}
	return nil
}

func (d *StatusDocument) checkWithdrawals() error {
	d.withdrawn = make(map[string]int, len(d.Withdrawals))
	covered := d.places()
	for i, w := range d.Withdrawals {
		if err := covered.next(w.Origin, w.Index); err != nil {
			return err
		}
		if err := checkReason(w.Reason); err != nil {
			return err
		}
		if w.WithdrawnAt.IsZero() {
			return errors.New("withdrawnAt is missing")
		}
		if _, err := ParseCoordinate(w.Purl); err != nil {
			return err
		}
		if _, twice := d.withdrawn[w.Purl]; twice {
			return fmt.Errorf("%s is there twice", w.Purl)
		}
		d.withdrawn[w.Purl] = i
	}
	return nil
}

func (d *StatusDocument) checkEnded() error {
	d.ended = make(map[string]int, len(d.Ended))
	covered := d.places()
	for i, e := range d.Ended {
		if err := covered.next(e.Origin, e.Index); err != nil {
			return err
		}
		if err := checkReason(e.Reason); err != nil {
			return err
		}
		if e.Ended.IsZero() {
			return errors.New("ended is missing")
		}
		if err := checkDigest("enrolment", e.Enrolment); err != nil {
			return err
		}
		if err := checkDigest("publisher", e.Publisher); err != nil {
			return err
		}
		if _, twice := d.ended[e.Enrolment]; twice {
			return fmt.Errorf("%s is there twice", e.Enrolment)
		}
		d.ended[e.Enrolment] = i
	}
	return nil
}

// places walks through the covered entries of a document's logs, forwards only.
type places struct {
	logs []CoveredLog
	log  int
	from uint64 // of logs[log]: entry 0 is an identity
}

func (d *StatusDocument) places() *places { return &places{logs: d.Logs, from: 1} }

// next refuses an entry that is not behind the one before it, or not covered.
func (p *places) next(origin string, index uint64) error {
	at := p.log
	for at < len(p.logs) && p.logs[at].Origin != origin {
		at++
	}
	if at == len(p.logs) {
		return fmt.Errorf("log %.250q is not one of logs, or comes too late", origin)
	}
	if at > p.log {
		p.log, p.from = at, 1
	}
	if index < p.from || index >= p.logs[at].Size {
		return fmt.Errorf("entry %d of %s is not covered, or not in its place", index, origin)
	}
	p.from = index + 1
	return nil
}

// log finds what the document covers of a log.
func (d *StatusDocument) log(origin string) (CoveredLog, bool) {
	for _, l := range d.Logs {
		if l.Origin == origin {
			return l, true
		}
	}
	return CoveredLog{}, false
}
