package agent

import (
	"errors"
	"fmt"
)

// ErrBusy says that the guard's one operation is still running. Asking for the same again later is safe.
var ErrBusy = errors.New("agent is busy with an earlier operation")

// RefusedError says that the guard does not sign or record a head. Watermark is where the agent is: ask for something
// that extends it.
type RefusedError struct {
	Reason    string
	Watermark Head
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("agent at size %d refuses: %s", e.Watermark.Size, e.Reason)
}

// StoppedError says that a guard latched: it signs and records nothing until a person has looked.
type StoppedError struct {
	Reason string
	Cause  error // nil on the client's side
}

func (e *StoppedError) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("agent stopped: %s (%v); inspect the machine, then restart the agent", e.Reason, e.Cause)
	}
	return fmt.Sprintf("agent stopped: %s; inspect the machine, then restart the agent", e.Reason)
}
