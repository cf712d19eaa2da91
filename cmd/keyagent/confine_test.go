package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// needLandlock fails where continuous integration should have it. There is no point in a machine without it where these
// tests pass.
func needLandlock(t *testing.T) {
	t.Helper()
	if landlockVersion() > 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("CI runs on a kernel with landlock")
	}
	t.Skip("the kernel has no landlock: NOTHING of the confinement to files was tested")
}

// sessionKeyring is KEY_SPEC_SESSION_KEYRING.
const sessionKeyring = ^uintptr(2)

// attempts are what a confined agent tries, by name. Those that must work begin with "may".
func attempts(state, secret, address string) map[string]func() error {
	socket := func(family, kind, protocol int) func() error {
		return func() error {
			fd, err := unix.Socket(family, kind, protocol)
			unix.Close(fd)
			return err
		}
	}
	call := func(number uintptr, arguments ...uintptr) func() error {
		return func() error {
			a := append(arguments, 0, 0, 0)
			switch _, _, e := unix.Syscall(number, a[0], a[1], a[2]); e {
			case 0, unix.EFAULT, unix.EINVAL, unix.ESRCH, unix.ENOTTY, unix.EBADF, unix.ENOENT, unix.ENOKEY: // the kernel has gone as far as to look at the arguments
				return nil
			default:
				return e
			}
		}
	}
	read := func(path string) func() error {
		return func() error {
			_, err := os.ReadFile(path)
			return err
		}
	}
	write := func(path string) func() error {
		return func() error { return os.WriteFile(path, []byte("x"), 0o600) }
	}
	buffer := make([]byte, 8)
	local := unix.Iovec{Base: &buffer[0], Len: 8}
	zero := uintptr(unsafe.Pointer(&[]byte{0}[0]))
	return map[string]func() error{
		"read /etc/shadow":     read("/etc/shadow"),
		"read another's file":  read(secret),
		"list a folder":        func() error { _, err := os.ReadDir(filepath.Dir(secret)); return err },
		"write a file":         write(secret),
		"truncate a file":      func() error { return os.Truncate(secret, 0) },
		"make a file":          write(secret + ".new"),
		"remove a file":        func() error { return os.Remove(secret) },
		"rename out":           func() error { return os.Rename(filepath.Join(state, "own"), secret) },
		"read all files":       on8Threads(read(secret)),
		"start a process":      func() error { return exec.Command("/bin/true").Run() },
		"start itself twice":   startItself,
		"become a shell":       func() error { return syscall.Exec("/bin/sh", []string{"sh", "-c", "echo shell"}, nil) },
		"become own state":     func() error { return syscall.Exec(filepath.Join(state, "program"), []string{"echo", "shell"}, nil) },
		"TCP":                  socket(unix.AF_INET, unix.SOCK_STREAM, 0),
		"MPTCP":                socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP),
		"UDP":                  socket(unix.AF_INET, unix.SOCK_DGRAM, 0),
		"IPv6":                 socket(unix.AF_INET6, unix.SOCK_STREAM, 0),
		"netlink":              socket(unix.AF_NETLINK, unix.SOCK_RAW, 0),
		"connect":              func() error { _, err := net.Dial("tcp", address); return err },
		"abstract unix socket": func() error { _, err := net.Dial("unix", "@"+address); return err },
		"io_uring":             call(unix.SYS_IO_URING_SETUP, 0, 0),
		"ptrace":               call(unix.SYS_PTRACE, unix.PTRACE_SEIZE, 1<<31-1),
		"process_vm_readv":     func() error { return readParent(local) },
		"memfd_create":         call(unix.SYS_MEMFD_CREATE, zero),
		"unshare":              call(unix.SYS_UNSHARE, unix.CLONE_NEWUTS),
		"mount":                call(unix.SYS_MOUNT, zero, zero, zero),
		"fsopen":               call(unix.SYS_FSOPEN, 0, 0),
		"chroot":               call(unix.SYS_CHROOT, 0),
		"setns":                call(unix.SYS_SETNS, 1<<30, 0),
		"keyctl":               call(unix.SYS_KEYCTL, unix.KEYCTL_GET_KEYRING_ID, sessionKeyring, 0),
		"add_key":              call(unix.SYS_ADD_KEY, 0, 0, 0),
		"personality":          call(unix.SYS_PERSONALITY, 0xffffffff),
		"bpf":                  call(unix.SYS_BPF, 0, 0, 0),
		"perf_event_open":      call(unix.SYS_PERF_EVENT_OPEN, 0, 0, 0),
		"userfaultfd":          call(unix.SYS_USERFAULTFD, 1<<30),
		"execveat":             call(unix.SYS_EXECVEAT, 1<<30, zero, 0),
		"pidfd_getfd":          call(unix.SYS_PIDFD_GETFD, 1<<30, 0, 0),
		"type on a terminal":   call(unix.SYS_IOCTL, 0, unix.TIOCSTI, zero),
		"type on the console":  call(unix.SYS_IOCTL, 0, unix.TIOCLINUX, zero),
		"signal another":       func() error { return unix.Kill(os.Getppid(), 0) },
		"signal a group":       func() error { return unix.Kill(0, 0) },
		"signal everyone":      func() error { return unix.Kill(-1, 0) },
		"signal a thread":      func() error { return unix.Tgkill(os.Getppid(), os.Getppid(), 0) },
		"tkill":                call(unix.SYS_TKILL, uintptr(os.Getppid()), 0),
		"queue a signal":       call(unix.SYS_RT_SIGQUEUEINFO, uintptr(os.Getppid()), 0, 0),
		"queue one for thread": call(unix.SYS_RT_TGSIGQUEUEINFO, uintptr(os.Getppid()), uintptr(os.Getppid()), 0),
		"another's limits":     func() error { return unix.Prlimit(os.Getppid(), unix.RLIMIT_CORE, nil, new(unix.Rlimit)) },
		"may signal itself":    func() error { return unix.Kill(os.Getpid(), 0) },
		"may signal a thread":  func() error { return unix.Tgkill(os.Getpid(), os.Getpid(), 0) },
		"may see its limits":   func() error { return unix.Getrlimit(unix.RLIMIT_CORE, new(unix.Rlimit)) },
		"may use an ioctl":     call(unix.SYS_IOCTL, 0, unix.TCGETS, zero),
		"may read its state":   read(filepath.Join(state, "own")),
		"may make a file": func() error {
			return errors.Join(write(filepath.Join(state, "new"))(), os.Remove(filepath.Join(state, "new")))
		},
		"may read a library":    read("/etc/ld.so.cache"),
		"may use unix sockets":  socket(unix.AF_UNIX, unix.SOCK_STREAM, 0),
		"may start threads":     on8Threads(func() error { return nil }),
		"may have secret pages": func() error { fd, err := unix.MemfdSecret(0); unix.Close(fd); return err },
	}
}

// startItself starts what may be executed, in a process of its own.
func startItself() error {
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(binary, "--help")
	cmd.Env = []string{"KEYAGENT_TEST_MAIN=1"}
	return cmd.Run()
}

// on8Threads does it on threads that were there before as well as on new ones.
func on8Threads(do func() error) func() error {
	return func() error {
		var group sync.WaitGroup
		var started sync.WaitGroup
		errs := make([]error, 8)
		started.Add(len(errs))
		for i := range errs {
			group.Go(func() {
				runtime.LockOSThread()
				started.Done()
				started.Wait()
				errs[i] = do()
			})
		}
		group.Wait()
		for _, err := range errs {
			if err == nil {
				return nil // on one thread is as bad as on all
			}
		}
		return errs[0]
	}
}

// readParent reads the parent's memory at an address of ours: with a program in common it is there.
func readParent(local unix.Iovec) error {
	remote := unix.RemoteIovec{Base: uintptr(unsafe.Pointer(unsafe.StringData(usage))), Len: 8}
	_, err := unix.ProcessVMReadv(os.Getppid(), []unix.Iovec{local}, []unix.RemoteIovec{remote}, 0)
	if err == unix.EFAULT {
		return nil // asked the other process, and the address was wrong
	}
	return err
}

// confined is a process that is confined as its configuration says, and tries what it should not.
func confined(path string) {
	fail := func(err error) {
		if err != nil {
			fmt.Println("cannot begin:", err)
			os.Exit(1)
		}
	}
	c, err := load(path, "", nil)
	fail(err)
	binary, err := os.Executable()
	fail(err)
	on8Threads(func() error { return nil })() // some threads to be confined
	fail(c.confinement(path).confine(binary, "", slog.New(slog.NewTextHandler(os.Stdout, nil))))
	last := []string{"become own state", "become a shell"} // they return only if they are refused
	all := attempts(c.stateDir, os.Getenv("KEYAGENT_TEST_SECRET"), os.Getenv("KEYAGENT_TEST_ADDRESS"))
	for _, name := range last {
		defer try(name, all[name])
		delete(all, name)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) { // what reads a file before what removes it
		try(name, all[name])
	}
}

func try(name string, do func() error) {
	switch err := do(); {
	case err == nil:
		fmt.Println(name + ": done")
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.EAFNOSUPPORT):
		fmt.Println(name + ": refused")
	default:
		fmt.Println(name+":", err)
	}
}

// tries runs confined and returns what became of each attempt.
func (s *setup) tries(t *testing.T, settings ...string) map[string]string {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("x"), 0o666))
	must(t, os.WriteFile(filepath.Join(s.state, "own"), []byte("x"), 0o666))
	program, err := os.ReadFile("/bin/echo") // no script: the shell may not be executed anyway
	must(t, err)
	must(t, os.WriteFile(filepath.Join(s.state, "program"), program, 0o755))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	abstract, err := net.Listen("unix", "@"+listener.Addr().String())
	must(t, err)
	defer abstract.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "KEYAGENT_TEST_CONFINED="+s.write(t, s.uri, s.public(), settings...), "KEYAGENT_TEST_SECRET="+secret, "KEYAGENT_TEST_ADDRESS="+listener.Addr().String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	results := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, result, _ := strings.Cut(strings.TrimSpace(line), ": ")
		results[name] = result
	}
	return results
}

// Of all that an agent must not do it can do nothing, whatever kind of key it has; and it could, were it not confined.
func TestConfined(t *testing.T) {
	needLandlock(t)
	inBothWorlds(t, func(t *testing.T, s *setup) {
		got := s.tries(t)
		for name := range attempts("", "", "") {
			want := "refused"
			if strings.HasPrefix(name, "may ") {
				want = "done"
			}
			if got[name] != want {
				t.Errorf("%s: %q, want %s", name, got[name], want)
			}
		}
	})
}

func TestNotConfined(t *testing.T) {
	s := newSetup(t)
	got := s.tries(t, `confine = "off"`)
	for name := range attempts("", "", "") {
		rootOnly := os.Geteuid() != 0 && (name == "read /etc/shadow" || name == "unshare" || name == "process_vm_readv")
		replaced := name == "become a shell" // by then it is the program in its state
		if got[name] != "done" && !rootOnly && !replaced && name != "become own state" {
			t.Errorf("%s: %q, so the test with confinement shows nothing", name, got[name])
		}
	}
	if _, shell := got["shell"]; !shell {
		t.Error("it became no shell, so the test with confinement shows nothing")
	}
}

// What the configuration allows is allowed, and nothing else.
func TestConfinedWithExceptions(t *testing.T) {
	needLandlock(t)
	s := newSetup(t)
	got := s.tries(t, "allow_network = true", `allow_read = ["/etc/shadow", "/not/there"]`)
	for name, want := range map[string]string{
		"TCP": "done", "UDP": "done", "IPv6": "done", "netlink": "done", "connect": "done", "read /etc/shadow": "done",
		"read another's file": "refused", "start a process": "refused", "write a file": "refused", "become a shell": "refused",
	} {
		if name == "read /etc/shadow" && os.Geteuid() != 0 {
			continue
		}
		if got[name] != want {
			t.Errorf("%s: %q, want %s", name, got[name], want)
		}
	}
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "f"), nil, 0o600))
	for setting, want := range map[string]string{"allow_read": "refused", "allow_write": "done"} {
		secret := filepath.Dir(dir) // where tries puts its secret, too
		if got := s.tries(t, fmt.Sprintf("%s = [%q]", setting, secret)); got["write a file"] != want || got["read another's file"] != "done" {
			t.Errorf("%s: writing %s, reading %s", setting, got["write a file"], got["read another's file"])
		}
	}
}

// A configuration that asks for another confinement waits for a restart: starting in place can loosen nothing, and
// tightening it again and again would come to an end.
func TestConfinementOutlastsAStartInPlace(t *testing.T) {
	s := newSetup(t)
	s.config = s.write(t, s.uri, s.public(), "recycle_after = 2")
	p := start(t, nil, "--config", s.config)
	c, _ := s.wait(t)
	good, err := os.ReadFile(s.config)
	must(t, err)
	must(t, os.WriteFile(s.config+".new", append([]byte("allow_read = [\"/etc\"]\n"), good...), 0o600))
	must(t, os.Rename(s.config+".new", s.config)) // as editors do
	for range 3 {
		must(t, s.sign(t.Context(), c))
	}
	p.waitFor(t, "the complaint", func() bool { return strings.Contains(p.output.String(), "that was changed: restart it") })
	if p.again() != 0 {
		t.Fatal("it started again")
	}
	must(t, os.WriteFile(s.config+".new", good, 0o600))
	must(t, os.Rename(s.config+".new", s.config))
	for p.again() == 0 {
		must(t, s.sign(t.Context(), c))
	}
	p.waitFor(t, "the key", func() bool { return s.sign(t.Context(), c) == nil })
	p.end(t)
	if n := strings.Count(p.output.String(), "msg=confined"); n != 1 {
		t.Errorf("confined %d times", n)
	}
}

// A successor that would be confined otherwise does not serve.
func TestSuccessorConfinedOtherwise(t *testing.T) {
	s := newSetup(t)
	c, err := load(s.config, "", nil)
	must(t, err)
	log := slog.New(slog.DiscardHandler)
	if err := c.confinement(s.config).confine("", "another", log); !errors.Is(err, errConfinedOtherwise) {
		t.Fatal(err)
	}
	// It also looks whether it is confined at all, which this process is not.
	n := c.confinement(s.config)
	if err := n.confine("", n.digest(), log); err == nil || !strings.Contains(err.Error(), "after all") {
		t.Fatal(err)
	}
}

func TestConfinementRequired(t *testing.T) {
	for mode, want := range map[string]string{confineAuto: "[true true true true]", confineOff: "[true true true true]", confineRequired: "[true false false false]"} {
		c := confinement{mode: mode}
		got := []bool{c.enough(1, true) == nil, c.enough(0, true) == nil, c.enough(1, false) == nil, c.enough(0, false) == nil}
		if fmt.Sprint(got) != want {
			t.Errorf("%s: %v, want %s", mode, got, want)
		}
	}
}

func TestConfinementOfAConfiguration(t *testing.T) {
	base := confinement{mode: confineAuto, read: []string{"/a", "/b"}, write: []string{"/c"}}
	seen := map[string]bool{}
	for _, c := range []confinement{
		base,
		{mode: confineRequired, read: base.read, write: base.write},
		{mode: confineAuto, read: base.read[:1], write: base.write},
		{mode: confineAuto, read: base.read, write: base.read},
		{mode: confineAuto, read: base.write, write: base.read},
		{mode: confineAuto, read: base.read, write: base.write, network: true},
		{mode: confineOff, read: base.read},
	} {
		if seen[c.digest()] {
			t.Errorf("%+v has the digest of another", c)
		}
		seen[c.digest()] = true
	}
	if got := fmt.Sprint(folders("/etc/keyagent.toml", "/etc/countersign/a.toml", "/a")); got != "[/etc/keyagent.toml /etc/countersign /a]" {
		t.Errorf("folders %s", got)
	}
}

// Root and capabilities are of no use to the agent.
func TestPrivilegesRefused(t *testing.T) {
	needRoot(t, "start a process under another uid")
	const uid = "54321"
	s := newSetup(t)
	text, err := os.ReadFile(s.config)
	must(t, err)
	s.config = writeFile(t, strings.Replace(string(text), "demo_own_uid = true", "allow_uids = [0]", 1))
	start(t, nil, "--config", s.config).wantExit(t, 1, "does not run as root")
	start(t, nil, "--config", writeFile(t, strings.Replace(string(text), "demo_own_uid = true", "allow_root = true\nallow_uids = [0]", 1))).wantExit(t, 1, "is the agent's own")
	binary := ownBinary(t)
	for _, path := range []string{s.state, s.config, filepath.Dir(s.pinFile)} {
		give(t, path, 54321)
	}
	for _, path := range []string{s.config, s.pinFile, binary} {
		for dir := filepath.Dir(path); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
			must(t, os.Chmod(dir, 0o711))
		}
	}
	must(t, os.Chmod(filepath.Dir(s.socket), 0o777))
	as := []string{"--reuid", uid, "--regid", uid, "--clear-groups"}
	program := []string{binary, "--config", s.config}
	startProgram(t, nil, "setpriv", append(append(as, "--inh-caps", "+net_raw", "--ambient-caps", "+net_raw"), program...)...).
		wantExit(t, 1, "needs no capabilities and was started with 0x2000")
	p := startProgram(t, nil, "setpriv", append(as, program...)...)
	s.wait(t)
	p.end(t)
}
