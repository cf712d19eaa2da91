package signer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"countersign.dev/ledger"
	"countersign.dev/provenance"
)

// fold reads the state entries of all logs of a registry, oldest log first. What was appended to a closed log after its
// anchor does not count.
func fold(db *ledger.DB, registry string) (*state, error) {
	rows, epoch, err := readState(db, registry)
	if err != nil {
		return nil, err
	}
	s := newState()
	for _, r := range rows {
		if _, ok := r.entry.(*provenance.Identity); ok {
			if err := s.apply(r); err != nil {
				return nil, err
			}
		}
	}
	if s.chain == nil {
		return nil, errors.New("no log in the ledger: a ceremony makes it")
	}
	if s.identity().Registry != registry {
		return nil, fmt.Errorf("the ledger's identity is of %s", s.identity().Registry)
	}
	withdrawn := make(map[provenance.Coordinate]bool)
	for _, r := range rows {
		if _, ok := r.entry.(*provenance.Identity); ok || !s.reaches(r.Ref) {
			continue
		}
		if w, ok := r.entry.(*provenance.Withdrawal); ok {
			if withdrawn[w.Coordinate] {
				continue // of several the first counts; the service logs no second
			}
			withdrawn[w.Coordinate] = true
		}
		if err := s.apply(r); err != nil {
			return nil, err
		}
	}
	s.epoch = epoch
	return s, nil
}

// readState reads the epoch before the entries: if more came in between, the next append finds out.
func readState(db *ledger.DB, registry string) (rows []found, epoch uint64, err error) {
	logs, err := registryLogs(db, registry)
	if err != nil || len(logs) == 0 {
		return nil, 0, err
	}
	epoch = logs[0].Epoch()
	for _, log := range logs {
		err := log.StateEntries(func(index uint64, data []byte) error {
			entry, err := provenance.ParseEntry(data)
			if err != nil {
				return fmt.Errorf("log %s: entry %d: %w", log.Origin(), index, err)
			}
			rows = append(rows, found{ledger.Ref{Origin: log.Origin(), Index: index}, entry})
			return nil
		})
		if err != nil {
			return nil, 0, err
		}
		if first, ok := firstOf(rows, log.Origin()); !ok || first.Index != 0 {
			return nil, 0, fmt.Errorf("log %s does not begin with the identity that opens it", log.Origin())
		}
	}
	return rows, epoch, nil
}

// firstOf finds the first identity among a log's rows.
func firstOf(rows []found, origin string) (found, bool) {
	i := slices.IndexFunc(rows, func(r found) bool { return r.Origin == origin })
	if i < 0 {
		return found{}, false
	}
	_, ok := rows[i].entry.(*provenance.Identity)
	return rows[i], ok
}

// registryLogs lists the logs of a registry by their number.
func registryLogs(db *ledger.DB, registry string) ([]*ledger.Log, error) {
	type numbered struct {
		*ledger.Log
		n uint64
	}
	var logs []numbered
	for _, origin := range db.Origins() {
		of, n, err := provenance.ParseOrigin(origin)
		if err != nil {
			return nil, err
		}
		if of != registry {
			continue
		}
		log, err := db.Log(origin)
		if err != nil {
			return nil, err
		}
		logs = append(logs, numbered{log, n})
	}
	slices.SortFunc(logs, func(a, b numbered) int { return cmp.Compare(a.n, b.n) })
	out := make([]*ledger.Log, len(logs))
	for i, l := range logs {
		out[i] = l.Log
	}
	return out, nil
}

// checkTail reads the entries after the stored checkpoint: a head over one that is of no known kind is never asked for.
func checkTail(log *ledger.Log) error {
	for i := log.Checkpoint().Size; i < log.Size(); i++ {
		data, err := log.Entry(i)
		if err == nil {
			_, err = provenance.ParseEntry(data)
		}
		if err != nil {
			return fmt.Errorf("log %s: entry %d: %w", log.Origin(), i, err)
		}
	}
	return nil
}

// CheckState folds a registry's logs and reports whether they fold: what a service does when it opens them.
func CheckState(db *ledger.DB, registry string) error {
	_, err := fold(db, registry)
	return err
}
