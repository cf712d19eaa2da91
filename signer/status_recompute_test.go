package signer_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/provenance"
)

// monitor makes the status document again as a stranger would: from the identity and the entry tiles on the public
// listener, with nothing of ours but the tiles' paths.
type monitor struct {
	*site
	withdrawals, ended []string
	withdrawn, over    map[string]bool
	publishers         map[string]string // by enrolment
}

// recompute covers what a status says that it covers.
func (s *site) recompute(status *provenance.Status) []byte {
	m := &monitor{site: s, withdrawn: make(map[string]bool), over: make(map[string]bool), publishers: make(map[string]string)}
	var logs []string
	for _, l := range m.logs() {
		if l.Origin == status.Origin {
			l.Closed.Size = int64(status.Size)
		} else if l.Closed.Size == 0 || l.number() > number(status.Origin) {
			continue
		}
		logs = append(logs, fmt.Sprintf(`{"origin":%q,"size":%d}`, l.Origin, l.Closed.Size))
		for i, data := range m.entries(l.number(), l.Closed.Size) {
			m.read(data, fmt.Sprintf(`"origin":%q,"index":%d`, l.Origin, i))
		}
	}
	return fmt.Appendf(nil, `{"registry":%q,"logs":[%s],"withdrawals":[%s],"endedEnrolments":[%s]}`, registry, strings.Join(logs, ","),
		strings.Join(m.withdrawals, ","), strings.Join(m.ended, ","))
}

type identityLog struct {
	Origin string
	Closed struct{ Size int64 }
}

func number(origin string) (n int) {
	fmt.Sscan(origin[strings.LastIndex(origin, "/")+1:], &n)
	return n
}

func (l identityLog) number() int { return number(l.Origin) }

type envelope struct{ PayloadType, Payload string }

func (m *monitor) open(e envelope, v any) (digest string) {
	m.t.Helper()
	payload, err := base64.StdEncoding.DecodeString(e.Payload)
	must(m.t, err)
	must(m.t, json.Unmarshal(payload, v))
	sum := sha256.Sum256(payload)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// logs are those of the identity's last version, by number.
func (m *monitor) logs() []identityLog {
	m.t.Helper()
	var versions []envelope
	must(m.t, json.Unmarshal(m.get("/"+registry+"/identity").body, &versions))
	var id struct{ Logs []identityLog }
	m.open(versions[len(versions)-1], &id)
	slices.SortFunc(id.Logs, func(a, b identityLog) int { return a.number() - b.number() })
	return id.Logs
}

func (m *monitor) entries(log int, size int64) (all [][]byte) {
	m.t.Helper()
	for n := int64(0); n*256 < size; n++ {
		tile := strings.Replace(tlog.Tile{H: 8, L: -1, N: n, W: int(min(256, size-n*256))}.Path(), "tile/8/data/", "tile/entries/", 1)
		data := m.get(fmt.Sprintf("/%s/logs/%d/%s", registry, log, tile)).body
		for len(data) > 0 {
			length := int(binary.BigEndian.Uint16(data))
			all, data = append(all, data[2:2+length]), data[2+length:]
		}
	}
	if int64(len(all)) != size {
		m.t.Fatalf("%d entries of %d", len(all), size)
	}
	return all
}

func (m *monitor) read(data []byte, place string) {
	m.t.Helper()
	var entry struct {
		envelope
		PredicateType string
		Predicate     struct{ Purl, WithdrawnAt, Reason string }
	}
	must(m.t, json.Unmarshal(data, &entry))
	switch p := entry.Predicate; {
	case entry.PredicateType == "https://countersign.dev/withdrawal/v1" && !m.withdrawn[p.Purl]:
		m.withdrawn[p.Purl] = true
		m.withdrawals = append(m.withdrawals, fmt.Sprintf(`{"purl":%q,%s,"withdrawnAt":%q,"reason":%q}`, p.Purl, place, p.WithdrawnAt, p.Reason))
	case entry.PayloadType == "application/vnd.countersign.enrolment.v1+json":
		var e struct{ Publisher string }
		digest := m.open(entry.envelope, &e)
		raw, err := base64.StdEncoding.DecodeString(e.Publisher)
		must(m.t, err)
		sum := sha256.Sum256(raw)
		m.publishers[digest] = "sha256:" + hex.EncodeToString(sum[:])
	case entry.PayloadType == "application/vnd.countersign.enrolment-end.v1+json":
		var e struct{ Enrolment, Reason, Ended string }
		m.open(entry.envelope, &e)
		if m.publishers[e.Enrolment] == "" || m.over[e.Enrolment] {
			return
		}
		m.over[e.Enrolment] = true
		m.ended = append(m.ended, fmt.Sprintf(`{"enrolment":%q,"publisher":%q,%s,"ended":%q,"reason":%q}`, e.Enrolment, m.publishers[e.Enrolment], place, e.Ended, e.Reason))
	}
}
