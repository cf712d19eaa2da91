package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ownBinary is a copy of the program, to be spoilt.
func ownBinary(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(os.Args[0])
	must(t, err)
	path := filepath.Join(t.TempDir(), "keyagent")
	must(t, os.WriteFile(path, data, 0o755))
	return path
}

func TestStartsInPlaceFromDeletedBinary(t *testing.T) {
	s := newSetup(t)
	binary := ownBinary(t)
	p := startProgram(t, nil, binary, "--config", s.write(t, s.uri, s.public(), "recycle_after = 2"))
	c, _ := s.wait(t)
	must(t, os.Remove(binary))
	for n := range 2 {
		for range 2 {
			must(t, s.sign(t.Context(), c))
		}
		p.waitAgain(t, n+1)
	}
	p.end(t)
}

func TestStartsInPlaceWithNewBinary(t *testing.T) {
	s := newSetup(t)
	binary := ownBinary(t)
	p := startProgram(t, nil, binary, "--config", s.write(t, s.uri, s.public(), "recycle_after = 1", `confine = "off"`))
	c, _ := s.wait(t)
	replace(t, binary)
	must(t, s.sign(t.Context(), c))
	p.wantExit(t, 7, fmt.Sprintf("the new program --config in %d", p.Process.Pid))
}

// replace puts another program in the place of one.
func replace(t *testing.T, binary string) {
	t.Helper()
	must(t, os.Remove(binary))
	must(t, os.WriteFile(binary, []byte("#!/bin/sh\necho \"the new program $1 in $$\"\nexit 7\n"), 0o755))
}

// A confined agent executes what it was, whatever is at its path by now.
func TestStartsInPlaceConfinedToItsBinary(t *testing.T) {
	needLandlock(t)
	s := newSetup(t)
	binary := ownBinary(t)
	p := startProgram(t, nil, binary, "--config", s.write(t, s.uri, s.public(), "recycle_after = 2"))
	c, _ := s.wait(t)
	replace(t, binary)
	for n := range 2 {
		for range 2 {
			must(t, s.sign(t.Context(), c))
		}
		p.waitAgain(t, n+1)
	}
	s.quiet(t, p)
	p.end(t)
	if out := p.output.String(); !strings.Contains(out, "for the one at its path, restart the agent") || strings.Contains(out, "the new program") {
		t.Errorf("%s", out)
	}
}

func TestEndsIfNothingCanBeExecuted(t *testing.T) {
	s := newSetup(t)
	binary := ownBinary(t)
	p := startProgram(t, nil, binary, "--config", s.write(t, s.uri, s.public(), "recycle_after = 1"))
	c, _ := s.wait(t)
	must(t, os.Chmod(binary, 0o600))
	must(t, s.sign(t.Context(), c))
	p.wantExit(t, 1, "start again in place: execve "+binary+": permission denied")
	s.wantNoSocket(t)
	start(t, nil, "--config", s.write(t, s.uri, testKey(7))).wantExit(t, 78, "is pinned") // the locks are free
}

// A healthy agent goes on where its successor could not start.
func TestDoesNotRecycleIntoAWrongConfiguration(t *testing.T) {
	s := newSetup(t)
	s.config = s.write(t, s.uri, s.public(), "recycle_after = 2")
	p := start(t, nil, "--config", s.config)
	c, _ := s.wait(t)
	good, err := os.ReadFile(s.config)
	must(t, err)
	must(t, os.WriteFile(s.config, append([]byte("colour = 1\n"), good...), 0o600))
	for range 3 {
		must(t, s.sign(t.Context(), c))
	}
	p.waitFor(t, "the complaint", func() bool {
		return strings.Contains(p.output.String(), "the configuration was changed and is wrong now")
	})
	if p.again() != 0 {
		t.Fatal("it started again")
	}
	must(t, os.WriteFile(s.config, good, 0o600))
	for p.again() == 0 {
		must(t, s.sign(t.Context(), c))
	}
	s.quiet(t, p)
	p.end(t)
}

// What the unit file asks for: a user other than the program's owner, and no new privileges.
func TestStartsInPlaceWithoutPrivileges(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("CI runs this test as root: only root can start a process under another uid")
		}
		t.Skip("only root can start a process under another uid")
	}
	const uid = 54321
	s := newSetup(t)
	s.config = s.write(t, s.uri, s.public(), "recycle_after = 3", "allow_uids = [0]")
	binary := ownBinary(t)
	for _, path := range []string{s.state, s.config, filepath.Dir(s.pinFile)} {
		give(t, path, uid)
	}
	for _, path := range []string{s.config, s.pinFile, binary} {
		for dir := filepath.Dir(path); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
			must(t, os.Chmod(dir, 0o711))
		}
	}
	must(t, os.Chmod(filepath.Dir(s.socket), 0o777))
	must(t, os.Chmod(s.state, 0o700))
	p := startProgram(t, nil, "setpriv", "--reuid", strconv.Itoa(uid), "--regid", strconv.Itoa(uid), "--clear-groups", "--no-new-privs", "--bounding-set=-all", binary, "--config", s.config)
	c, _ := s.wait(t)
	for p.again() < 4 {
		must(t, s.sign(t.Context(), c))
	}
	s.quiet(t, p)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	must(t, err)
	for _, want := range []string{"NoNewPrivs:\t1", "Uid:\t54321\t54321"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("no %q in\n%s", want, status)
		}
	}
	// A process is dumpable if its files in /proc are its user's.
	var info syscall.Stat_t
	must(t, syscall.Stat(fmt.Sprintf("/proc/%d/environ", p.Process.Pid), &info))
	if info.Uid != 0 {
		t.Error("after a start in place it can be dumped")
	}
	p.end(t)
}

func give(t *testing.T, path string, uid int) {
	t.Helper()
	must(t, filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, uid)
	}))
}

func TestInheritanceDecoding(t *testing.T) {
	good := `{"pid":7,"socket":3,"lock":4,"states":{"a":5,"b":6},"stuck":2}`
	if i, err := decodeInheritance(good); err != nil || i.PID != 7 || i.Socket != 3 || i.Lock != 4 || i.States["b"] != 6 || i.Stuck != 2 {
		t.Fatalf("%+v, %v", i, err)
	}
	for _, bad := range []string{
		"", "{}", "[]", good + good,
		strings.Replace(good, `"pid":7,`, "", 1),
		strings.Replace(good, `:3`, ":4", 1),
		strings.Replace(good, `:3`, ":2", 1),
		strings.Replace(good, `:6`, ":5", 1),
		strings.Replace(good, `:6`, ":-6", 1),
		strings.Replace(good, `{"a":5,"b":6}`, "{}", 1),
		strings.Replace(good, `"stuck":2`, `"stuck":-1`, 1),
		strings.Replace(good, `"stuck":2`, `"stuck":2,"more":1`, 1),
	} {
		if i, err := decodeInheritance(bad); err == nil {
			t.Errorf("%s: %+v", bad, i)
		}
	}
}

func FuzzInheritance(f *testing.F) {
	f.Add(`{"pid":7,"socket":3,"lock":4,"states":{"a":5,"b":6},"stuck":2}`)
	f.Add(`{"pid":7,"socket":0,"lock":4,"states":{"a":4},"stuck":99999999}`)
	f.Fuzz(func(t *testing.T, text string) {
		i, err := decodeInheritance(text)
		if err != nil {
			return
		}
		seen := map[int]bool{}
		for _, fd := range i.descriptors() {
			if fd <= 2 || seen[fd] {
				t.Fatalf("accepted %s", text)
			}
			seen[fd] = true
		}
		if i.pause() < 0 || i.pause() > 2*time.Second {
			t.Fatalf("pause %s", i.pause())
		}
	})
}

// A variable that is not this process's is refused, before anything is touched.
func TestForeignInheritance(t *testing.T) {
	s := newSetup(t)
	env := inheritanceVariable + `={"pid":1,"socket":3,"lock":4,"states":{"` + origin + `":5},"stuck":0}`
	start(t, []string{env}, "--config", s.config).wantExit(t, 1, "it is of process 1")
	start(t, []string{inheritanceVariable + "="}, "--config", s.config).wantExit(t, 1, inheritanceVariable)
}

func TestPauses(t *testing.T) {
	var got []time.Duration
	for n := range 8 {
		got = append(got, (&inheritance{Stuck: n}).pause())
	}
	if want := "[0s 0s 250ms 500ms 1s 2s 2s 2s]"; fmt.Sprint(got) != want {
		t.Fatalf("pauses %v, want %s", got, want)
	}
	for name, tt := range map[string]struct {
		life *life
		want int
	}{
		"first start":        {&life{began: time.Now()}, 0},
		"stuck at once":      {&life{began: time.Now(), inherited: &inheritance{Stuck: 3}}, 3},
		"after a minute":     {&life{began: time.Now().Add(-time.Minute), inherited: &inheritance{Stuck: 3}}, 0},
		"after half of that": {&life{began: time.Now().Add(-time.Minute / 2), inherited: &inheritance{Stuck: 3}}, 3},
	} {
		if got := tt.life.stuckBefore(); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}
