package tpm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// wire carries one command after the other. exchange returns by the deadline;
// after an error only close is left.
type wire interface {
	exchange(command []byte, deadline time.Time) ([]byte, error)
	close()
}

// maxResponse is what the kernel's driver gives at most.
const maxResponse = 4096

// dial opens the TPM and says whether a resource manager keeps its users apart.
func dial(ctx context.Context, path string) (w wire, managed bool, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, false, err
	}
	switch mode := info.Mode(); {
	case mode&fs.ModeSocket != 0:
		w, err := dialSocket(ctx, path)
		return w, false, err
	case mode&fs.ModeCharDevice != 0 && strings.HasPrefix(filepath.Base(path), "tpmrm"):
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		return character(fd), true, err
	case mode&fs.ModeCharDevice != 0:
		return nil, false, errors.New("has no resource manager, and what a crash leaves behind stays in the TPM: use /dev/tpmrm0")
	}
	return nil, false, errors.New("is neither a TPM device nor a socket")
}

// dialSocket waits in line: where many wait, the kernel refuses with EAGAIN.
func dialSocket(ctx context.Context, path string) (wire, error) {
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
		switch {
		case err == nil:
			return socket{conn}, nil
		case !errors.Is(err, unix.EAGAIN):
			return nil, err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: others have it (%w)", ErrBusy, context.Cause(ctx))
		}
	}
}

// socket is an emulator's: it serves one connection at a time.
type socket struct{ net.Conn }

func (s socket) exchange(command []byte, deadline time.Time) ([]byte, error) {
	if err := s.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if _, err := s.Write(command); err != nil {
		return nil, err
	}
	response := make([]byte, 10, maxResponse)
	if _, err := io.ReadFull(s, response); err != nil {
		return nil, fmt.Errorf("no answer: %w", err)
	}
	size := binary.BigEndian.Uint32(response[2:])
	if size < 10 || size > maxResponse {
		return nil, fmt.Errorf("%w: it claims %d bytes", ErrTampered, size)
	}
	response = response[:size]
	if _, err := io.ReadFull(s, response[10:]); err != nil {
		return nil, fmt.Errorf("half an answer: %w", err)
	}
	return response, nil
}

func (s socket) close() { s.Close() }

// character is the kernel's driver. Opened without blocking it takes a command
// at once and polls as readable when the answer is there; reading earlier gives
// nothing. Where the driver itself hangs, polling may hang with it, and closing
// does: that is what perform's callers need not wait for.
type character int

func (c character) exchange(command []byte, deadline time.Time) ([]byte, error) {
	n, err := unix.Write(int(c), command)
	if err == nil && n != len(command) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return nil, fmt.Errorf("writing the command: %w", err)
	}
	if err := c.wait(deadline); err != nil {
		return nil, err
	}
	response := make([]byte, maxResponse)
	if n, err = unix.Read(int(c), response); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	return response[:n], nil
}

func (c character) wait(deadline time.Time) error {
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return fmt.Errorf("no answer: %w", os.ErrDeadlineExceeded)
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(c), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("waiting for the answer: %w", err)
		case n > 0:
			return nil
		}
	}
}

func (c character) close() { unix.Close(int(c)) }
