package hsm

import (
	"testing"
	"time"
)

// One key does not take the module from others that work more often than sparing allows.
func TestGateSpares(t *testing.T) {
	g, away := newGate(), &Key{}
	if g.busy(away) {
		t.Error("busy with nobody")
	}
	g.works(&Key{}, true)
	if g.busy(away) {
		t.Error("the first time is spared")
	}
	if !g.giveUp(away) || !g.busy(away) {
		t.Error("not spared after a try in vain")
	}
	g.finished = time.Now().Add(-sparing)
	if g.busy(away) {
		t.Error("spared for ever")
	}
}
