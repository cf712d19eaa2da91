package agent

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// BreakWrites makes every durable write run f instead.
func (s *State) BreakWrites(f func() error) { s.put = func([]byte) error { return f() } }

// Flags are the open file's status flags.
func (s *State) Flags() (int, error) { return unix.FcntlInt(s.file.Fd(), unix.F_GETFL, 0) }

// ShortTimeouts makes the server give up on slow peers at once.
func (s *Server) ShortTimeouts(d time.Duration) {
	s.http.ReadHeaderTimeout, s.http.ReadTimeout = d, d
}

// Vanish closes the descriptors and leaves the files, as the end of a process does.
func (l *Listener) Vanish() error { return errors.Join(l.UnixListener.Close(), l.lock.Close()) }

var (
	EncodeRecord = encodeRecord
	DecodeRecord = decodeRecord
	CheckOrigin  = checkOrigin
	Allowed      = allowed
	SPKI         = spki
)

// DecodeSign decodes a sign request and encodes it again.
func DecodeSign(body []byte) (origin string, head Head, proof int, err error) {
	var r signRequest
	err = decode(body, &r)
	return r.Origin, Head{r.Size, r.Root}, len(r.Proof), err
}

// DecodeRecordRequest decodes a record request.
func DecodeRecordRequest(body []byte) (origin, checkpoint string, err error) {
	var r recordRequest
	err = decode(body, &r)
	return r.Origin, r.Checkpoint, err
}

// OpenCheckpoint reads a checkpoint as Record does.
func (g *Guard) OpenCheckpoint(checkpoint []byte) (Head, error) {
	return g.log.open(checkpoint, g.known)
}
