package signer_test

import (
	"os"
	"path/filepath"
	"testing"

	"countersign.dev/signer"
)

// A drain outlives the process, and its end does too.
func TestDrainIsKept(t *testing.T) {
	w := newWorld(t, 2, 3, func(c *signer.Config) { c.DrainFile = filepath.Join(filepath.Dir(c.FreezeFile), "drained") })
	phase := func(want string) {
		t.Helper()
		if got := w.Status().Agents[1].Phase; got != want {
			t.Fatalf("agent is %s, want %s", got, want)
		}
	}
	name := w.Status().Agents[1].Name
	must(t, w.DrainAgent(name))
	w.restart()
	phase("drained")
	w.accepted(w.submission("@acme/widget", "1.0.0", "content"))
	must(t, w.ReturnAgent(name))
	w.restart()
	if w.Status().Agents[1].Phase == "drained" {
		t.Fatal("a returned agent is drained after a restart")
	}
	w.accepted(w.submission("@acme/widget", "1.0.1", "content"))

	w.stop()
	must(t, os.WriteFile(w.config.DrainFile, []byte("nobody\n"+name+"\n"), 0o600))
	w.start()
	phase("drained")

	// Where it cannot be kept, the operator is told; it holds all the same.
	w.stop()
	w.config.DrainFile = filepath.Join(w.dir, "nowhere", "drained")
	w.start()
	if err := w.DrainAgent(name); err == nil {
		t.Fatal("a drain that does not outlive the process was not reported")
	}
	phase("drained")
	w.stop()
	must(t, os.MkdirAll(w.config.DrainFile, 0o700)) // a directory: it cannot be read
	if _, err := signer.New(w.config); err == nil {
		t.Fatal("started without knowing who is drained")
	}
}
