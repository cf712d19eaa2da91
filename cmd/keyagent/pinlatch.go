package main

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
	"unsafe"

	"countersign.dev/hsm"
	"countersign.dev/strict"
	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"
)

// pinLatch is a file that remembers which PINs tokens refused, across processes: whatever starts the agent again and
// again must not lock a token. An empty file is as good as none, so that an agent that may not make files where its
// watermark is can be given one.
//
// It keeps a slow hash of each PIN, to see that the PIN file was corrected. Who can read it can read the PIN file too.
type pinLatch struct{ path string }

func newPINLatch(stateDir string) pinLatch { return pinLatch{filepath.Join(stateDir, "pin-refused")} }

// pinned is whose PIN it is, and where that lies.
type pinned struct {
	token  string // the token's label; for a sealed key the TPM, by its storage key
	serial string // the token's; the sealed key's public key
	file   string
}

type refusals struct {
	Refused []refusal `json:"refused"`
}

type refusal struct {
	Token  string    `json:"token"`
	Serial string    `json:"serial"` // "" if the key's URI has none
	Time   time.Time `json:"time"`
	Salt   []byte    `json:"salt"`
	Hash   []byte    `json:"hash"`
}

const (
	pinRounds   = 600_000
	pinSalt     = 16
	maxRefusals = 64 << 10 // bytes of the file
)

// check refuses, with an error that matches hsm.ErrStopped, what the token would refuse.
func (l pinLatch) check(p pinned) error {
	r, err := l.read()
	if err != nil {
		return err
	}
	i := r.find(p)
	if i < 0 {
		return nil
	}
	pin, err := pinIn(p.file)
	if err != nil {
		return nil // then the key is not opened with it either, and the reason told
	}
	defer clear(pin)
	refused := r.Refused[i]
	if hash, err := hashPIN(pin, refused.Salt); err != nil || !bytes.Equal(hash, refused.Hash) {
		return err
	}
	return fmt.Errorf("%q refused the PIN in %s on %s, and is not asked again: correct that file; or, if it is taken by now, empty or delete %s: %w",
		p.token, p.file, refused.Time.Format(time.DateTime), l.path, hsm.ErrStopped)
}

// record remembers that the token refused what is in the PIN file.
func (l pinLatch) record(p pinned) error {
	pin, err := pinIn(p.file)
	if err != nil {
		return err
	}
	defer clear(pin)
	r, err := l.read()
	if err != nil {
		return err
	}
	refused := refusal{Token: p.token, Serial: p.serial, Time: time.Now().UTC().Truncate(time.Second), Salt: make([]byte, pinSalt)}
	rand.Read(refused.Salt) // never fails
	if refused.Hash, err = hashPIN(pin, refused.Salt); err != nil {
		return err
	}
	if i := r.find(p); i >= 0 {
		r.Refused[i] = refused
	} else {
		r.Refused = append(r.Refused, refused)
	}
	return l.write(r)
}

// forget is called after a good login.
func (l pinLatch) forget(p pinned) error {
	r, err := l.read()
	if err != nil {
		return err
	}
	i := r.find(p)
	if i < 0 {
		return nil
	}
	r.Refused = slices.Delete(r.Refused, i, i+1)
	return l.write(r)
}

func (r refusals) find(p pinned) int {
	return slices.IndexFunc(r.Refused, func(known refusal) bool {
		return known.Token == p.token && (known.Serial == p.serial || known.Serial == "" || p.serial == "")
	})
}

// hashPIN takes the PIN as it is, for a string would be a copy that stays.
func hashPIN(pin, salt []byte) ([]byte, error) {
	return pbkdf2.Key(sha256.New, unsafe.String(unsafe.SliceData(pin), len(pin)), salt, pinRounds, sha256.Size)
}

// maxPIN is how much of a PIN file is looked at, in bytes.
const maxPIN = 1 << 10

// pinIn is the PIN as packages hsm and tpm read it. The caller clears it.
func pinIn(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data := make([]byte, maxPIN) // one buffer, so that it leaves no copies
	n, err := io.ReadFull(f, data)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return bytes.TrimSuffix(data[:n], []byte("\n")), err
}

// read treats a file that it does not understand as a refusal of every PIN.
func (l pinLatch) read() (r refusals, err error) {
	f, err := os.OpenFile(l.path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("refused PINs: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRefusals+1))
	if err != nil {
		return r, fmt.Errorf("refused PINs: %w", err)
	}
	if r, err = decodeRefusals(data); err != nil {
		return r, fmt.Errorf("refused PINs: %s is damaged (%v): see that the PIN files are right, then empty or delete it: %w", l.path, err, hsm.ErrStopped)
	}
	return r, nil
}

func decodeRefusals(data []byte) (r refusals, err error) {
	if len(data) == 0 {
		return r, nil
	}
	if len(data) > maxRefusals {
		return r, errors.New("too long")
	}
	if err := strict.JSON(data, &r); err != nil {
		return r, err
	}
	if len(r.Refused) == 0 {
		return r, errors.New("nothing in it")
	}
	for _, known := range r.Refused {
		if known.Token == "" || known.Time.IsZero() || len(known.Salt) != pinSalt || len(known.Hash) != sha256.Size {
			return r, errors.New("something is missing")
		}
	}
	return r, nil
}

// write overwrites the file, or makes it. What a crash leaves half-written refuses every PIN.
func (l pinLatch) write(r refusals) error {
	var data []byte
	if len(r.Refused) > 0 {
		var err error
		if data, err = json.Marshal(r); err != nil {
			return err
		}
	}
	const flags = os.O_WRONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK
	f, err := os.OpenFile(l.path, flags, 0)
	made := errors.Is(err, fs.ErrNotExist)
	if made {
		f, err = os.OpenFile(l.path, flags|os.O_CREATE|os.O_EXCL, 0o600)
	}
	if err != nil {
		return fmt.Errorf("refused PINs: %w", err)
	}
	_, err = f.WriteAt(data, 0)
	err = errors.Join(err, f.Truncate(int64(len(data))), f.Sync(), f.Close())
	if made {
		err = errors.Join(err, syncDir(filepath.Dir(l.path)))
	}
	if len(data) == 0 && err == nil {
		os.Remove(l.path) // empty does as well
	}
	return err
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// writable says whether record can work.
func (l pinLatch) writable() error {
	err := unix.Access(l.path, unix.R_OK|unix.W_OK)
	if errors.Is(err, fs.ErrNotExist) {
		err = unix.Access(filepath.Dir(l.path), unix.W_OK|unix.X_OK)
	}
	return err
}
