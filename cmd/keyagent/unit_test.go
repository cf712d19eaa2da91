package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The unit's list of system calls is enough for an agent's whole life, with either kind of key, and so is memory that
// cannot be both written and executed. This does to a process what systemd would do to it, with systemd's own groups of
// calls.
func TestUnderTheUnitsFilter(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Logf("%v: NOTHING was tested under the unit's filter", err)
		return
	}
	allowed := unitCalls(t, "../../deploy/keyagent@.service")
	inBothWorlds(t, func(t *testing.T, s *setup) {
		s.config = s.write(t, s.uri, s.public(), "recycle_after = 2")
		p := start(t, []string{inUnit(t, allowed)}, "--config", s.config)
		c, _ := s.wait(t)
		for s.emulator == nil && p.again() < 2 {
			must(t, s.sign(t.Context(), c))
		}
		must(t, s.sign(t.Context(), c))
		s.quiet(t, p)
		p.end(t)
		must(t, os.WriteFile(s.pinFile, []byte("wrong-pin\n"), 0o600))
		start(t, []string{inUnit(t, allowed)}, "--config", s.config).wantExit(t, 78, s.refusal())

		without := slices.DeleteFunc(slices.Clone(allowed), func(name string) bool { return name == "prlimit64" })
		p = start(t, []string{inUnit(t, without)}, "--config", s.config)
		p.Wait()
		if status := p.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != unix.SIGSYS {
			t.Errorf("without a call that it makes: %v, so the filter filters nothing", p.ProcessState)
		}
	})
}

// unitCalls resolves the SystemCallFilter lines of a unit, as systemd.exec(5) says.
func unitCalls(t *testing.T, path string) (allowed []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	for line := range strings.Lines(string(text)) {
		list, ok := strings.CutPrefix(strings.TrimSpace(line), "SystemCallFilter=")
		list, denied := strings.CutPrefix(list, "~")
		for _, name := range strings.Fields(list) {
			switch calls := expand(t, name); {
			case !ok:
			case denied:
				allowed = slices.DeleteFunc(allowed, func(name string) bool { return slices.Contains(calls, name) })
			default:
				allowed = append(allowed, calls...)
			}
		}
	}
	return append(allowed, expand(t, "@default")...) // is always allowed
}

// expand gives the calls of a group.
func expand(t *testing.T, name string) []string {
	t.Helper()
	if !strings.HasPrefix(name, "@") {
		return []string{name}
	}
	out, err := exec.Command("systemd-analyze", "syscall-filter", "--no-pager", name).Output()
	if err != nil {
		t.Fatalf("systemd-analyze syscall-filter %s: %v", name, err)
	}
	var calls []string
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); line != "" && line != name && !strings.HasPrefix(line, "#") {
			calls = append(calls, expand(t, line)...)
		}
	}
	return calls
}

// inUnit is what has the test binary filter itself first. Calls that this machine does not have, or are younger than the
// list of numbers, are left out.
func inUnit(t *testing.T, names []string) string {
	t.Helper()
	numbers := callNumbers(t)
	var list []string
	for _, name := range names {
		if n, ok := numbers[name]; ok {
			list = append(list, fmt.Sprint(n))
		}
	}
	if len(list) < 200 || len(numbers) < 300 {
		t.Fatalf("%d of %d calls have a number", len(list), len(names))
	}
	return "KEYAGENT_TEST_UNIT=" + strings.Join(list, ",")
}

func callNumbers(t *testing.T) map[string]uint64 {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys").Output()
	must(t, err)
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "unix", "zsysnum_linux_"+runtime.GOARCH+".go"))
	must(t, err)
	if len(files) != 1 {
		t.Fatalf("%q: no numbers of system calls", files)
	}
	text, err := os.ReadFile(files[0])
	must(t, err)
	numbers := maps.Collect(func(yield func(string, uint64) bool) {
		for _, m := range regexp.MustCompile(`SYS_(\w+)\s+=\s+(\d+)`).FindAllStringSubmatch(string(text), -1) {
			n, err := strconv.ParseUint(m[2], 10, 32)
			must(t, err)
			if !yield(strings.ToLower(m[1]), n) {
				return
			}
		}
	})
	return numbers
}

// unit filters the process, and goes on as keyagent.
func unit(list string) {
	filter := []unix.SockFilter{fetch(dataArch), unless(unix.BPF_JEQ, filterArch, 1), answer(unix.SECCOMP_RET_KILL_PROCESS), fetch(dataNumber)}
	for _, text := range strings.Split(list, ",") {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			panic(err)
		}
		filter = append(filter, when(unix.BPF_JEQ, uint32(n), 1), answer(unix.SECCOMP_RET_ALLOW))
	}
	must0(install(append(filter, answer(unix.SECCOMP_RET_KILL_PROCESS))))
	must0(unix.Prctl(unix.PR_SET_MDWE, unix.PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0))
	must0(os.Unsetenv("KEYAGENT_TEST_UNIT"))
	must0(syscall.Exec(os.Args[0], os.Args, os.Environ()))
}

func must0(err error) {
	if err != nil {
		panic(err)
	}
}
