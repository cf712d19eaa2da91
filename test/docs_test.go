package test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/BurntSushi/toml"

	"countersign.dev/provenance"
)

// The pages whose commands are run, in this order and on one machine.
var pages = []string{"README.md", "docs/lifecycle.md", "docs/attributes.md", "docs/operations.md", "docs/hsm.md", "docs/tpm.md", "docs/attestation.md", "CONTRIBUTING.md", "SECURITY.md"}

// programs must each be run by some block, so that a page that moved its commands elsewhere does not pass.
var programs = []string{"ceremony create", "ceremony inspect", "ceremony tpm", "ceremony attest", "keyagent check", "countersignd check", "countersignd audit", "countersign keygen", "countersign enrol", "countersign end-enrolment", "countersign register",
	"countersign sign", "countersign submit", "countersign check", "countersign pins", "countersign policy", "countersign withdraw", "countersign attest", "countersign verify", "countersign show", "countersign admin", "countersign version"}

// What the pages say is done: each block by its tag, in the real order, with the real programs.
func TestDocumentation(t *testing.T) {
	s := newSite(t)
	for _, page := range pages {
		blocks, err := fences(page, readFile(t, filepath.Join("..", page)))
		must(t, err)
		for _, b := range blocks {
			s.block(b)
		}
	}
	for _, p := range programs {
		if !s.ran[p] {
			t.Errorf("no block runs %s", p)
		}
	}
	s.exampleAgent()
}

// fence is one fenced block of a page.
type fence struct {
	page string
	line int // of the opening fence
	tag  string
	text string
}

func (f fence) String() string { return fmt.Sprintf("%s:%d (%s)", f.page, f.line, f.tag) }

// fences reads the blocks of a page. Each must say what it is, and end.
func fences(page, text string) (all []fence, err error) {
	var open *fence
	for i, line := range strings.Split(text, "\n") {
		tag, fenced := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case open != nil && fenced:
			all, open = append(all, *open), nil
		case open != nil:
			open.text += line + "\n"
		case fenced && !strings.HasPrefix(line, "```"):
			return nil, fmt.Errorf("%s:%d: an indented fence", page, i+1)
		case fenced && !slices.Contains([]string{"sh", "console", "toml", "ini", "text"}, tag):
			return nil, fmt.Errorf("%s:%d: a block is tagged %q: say sh, console, toml, ini or text", page, i+1, tag)
		case fenced:
			open = &fence{page: page, line: i + 1, tag: tag}
		}
	}
	if open != nil {
		return nil, fmt.Errorf("%s: the block does not end", open)
	}
	return all, nil
}

func TestFences(t *testing.T) {
	for name, text := range map[string]string{"untagged": "```\nmake\n```\n", "unknown": "```bash\nmake\n```\n", "open": "```sh\nmake\n", "indented": "- x\n  ```sh\n  make\n  ```\n"} {
		if all, err := fences("page", text); err == nil {
			t.Errorf("%s: taken as %v", name, all)
		}
	}
	all, err := fences("page", "a\n```sh\nmake\n```\nb\n```text\n```\n")
	must(t, err)
	if want := []fence{{"page", 2, "sh", "make\n"}, {"page", 6, "text", ""}}; !slices.Equal(all, want) {
		t.Errorf("%v, want %v", all, want)
	}
}

// Every file that a page names is there.
func TestNamedFiles(t *testing.T) {
	named := regexp.MustCompile("\\]\\(([^)#:]+)[^):]*\\)|`((?:deploy|docs|softhsm-config|test|cmd|provenance|signer)/[\\w./@-]*)`")
	for _, page := range pages {
		found := named.FindAllStringSubmatch(readFile(t, filepath.Join("..", page)), -1)
		for _, m := range found {
			path := m[2]
			if path == "" {
				path = filepath.Join(filepath.Dir(page), m[1])
			}
			if _, err := os.Stat(filepath.Join("..", path)); err != nil {
				t.Errorf("%s names %s: %v", page, path, err)
			}
		}
		if len(found) == 0 {
			t.Errorf("%s names no file at all", page)
		}
	}
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return string(data)
}

// site is the machine of the pages: a temporary directory stands for /, this user for the users of the units.
type site struct {
	*appliance
	rewrite *strings.Replacer // paths and ports of the pages to those here
	shell   *exec.Cmd         // the one that all sh blocks are run in
	in      io.Writer
	out     *bufio.Reader
	steps   int
	ran     map[string]bool // the programs
}

func newSite(t *testing.T) *site {
	t.Helper()
	for _, tool := range []string{"openssl", "curl", "sha256sum", "base32", "tar"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is missing: run make deps", tool)
		}
	}
	if _, err := os.Stat(module); err != nil {
		t.Fatal("SoftHSM is missing: run make deps")
	}
	root := t.TempDir()
	s := &site{appliance: &appliance{t: t, dir: root, processes: make(map[string]*process)}, ran: make(map[string]bool)}
	pairs := []string{"127.0.0.1:8443", freeAddress(t), "127.0.0.1:8080", freeAddress(t)}
	for _, path := range []string{"/etc/", "/var/lib/", "/run/countersign", "/root/", "/usr/local/bin"} {
		pairs = append(pairs, path, root+path)
	}
	s.rewrite = strings.NewReplacer(pairs...)
	t.Cleanup(s.stopAll)
	s.stage()
	s.startShell()
	return s
}

// stage puts the repository's files where the pages' commands look for them, with the paths of here.
func (s *site) stage() {
	t := s.t
	out, err := exec.Command("go", "build", "-o", bin, "../cmd/countersign").CombinedOutput()
	if err != nil {
		t.Fatalf("build countersign: %v\n%s", err, out)
	}
	must(t, os.Mkdir(s.path("repository"), 0o755))
	must(t, os.Symlink(bin, s.path("repository/_build")))
	must(t, os.CopyFS(s.path("repository/softhsm-config"), os.DirFS("../softhsm-config")))
	must(t, os.Chmod(s.path("repository/softhsm-config/new.sh"), 0o755))
	must(t, os.CopyFS(s.path("repository/deploy"), os.DirFS("../deploy")))
	files, err := filepath.Glob(s.path("repository/deploy/*.*"))
	must(t, err)
	for _, path := range files {
		must(t, os.WriteFile(path, []byte(s.ours(readFile(t, path))), 0o644))
	}
	for _, dir := range []string{"etc", "root", "run", "var/lib"} {
		must(t, os.MkdirAll(s.path(dir), 0o755))
	}
	const options = "/etc/swtpm-localca.options" // of the package swtpm-tools
	must(t, os.WriteFile(s.path(options), []byte(readFile(t, options)), 0o644))
}

var users = regexp.MustCompile(`(?m)^user .*\n`)

// ours makes a file of deploy fit this machine: nobody here can be another user.
func (s *site) ours(text string) string {
	text = strings.NewReplacer(`daemon_user = "countersignd"`, `demo = true`, `allow_users = ["root"]`, fmt.Sprintf("allow_uids = [%d]", os.Getuid())).Replace(text)
	return s.rewrite.Replace(users.ReplaceAllString(text, ""))
}

func (s *site) block(b fence) {
	s.t.Helper()
	switch b.tag {
	case "sh":
		s.runBlock(b)
	case "console":
		for _, line := range strings.Split(b.text, "\n") {
			if line, _, _ = strings.Cut(line, " # "); line != "" {
				s.console(b, strings.Fields(line))
			}
		}
	case "toml":
		s.tomlBlock(b)
	case "ini":
		checkSettings(s.t, b.String(), parseUnit(s.t, b.text))
	}
}

// tomlBlock must be TOML, and pins if it looks like them.
func (s *site) tomlBlock(b fence) {
	var all map[string]any
	if err := toml.Unmarshal([]byte(b.text), &all); err != nil {
		s.t.Errorf("%s: %v", b, err)
	}
	if _, pins := all["pin"]; pins {
		if _, err := provenance.ParsePins([]byte(b.text)); err != nil {
			s.t.Errorf("%s: %v", b, err)
		}
	}
}

// startShell starts the one shell. It ends at the first command that fails.
func (s *site) startShell() {
	t := s.t
	cmd := exec.Command("sh", "-eu")
	cmd.Dir = s.path("repository")
	cmd.Env = append(os.Environ(), "PATH="+s.path("usr/local/bin")+":"+os.Getenv("PATH"), "NO_PROXY=127.0.0.1", "XDG_CACHE_HOME="+s.path("cache"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	cmd.Stderr = cmd.Stdout
	must(t, cmd.Start())
	s.shell, s.in, s.out = cmd, in, bufio.NewReader(out)
	t.Cleanup(func() {
		in.Close()
		s.killShell()
		cmd.Wait()
	})
}

// killShell ends the shell with whatever it started.
func (s *site) killShell() { syscall.Kill(-s.shell.Process.Pid, syscall.SIGKILL) }

// runBlock runs a block to its end, and notes which programs it ran.
func (s *site) runBlock(b fence) {
	s.t.Helper()
	out, err := s.eval(s.rewrite.Replace(b.text))
	if err != nil {
		s.t.Fatalf("%s: a command failed:\n%s\n%s", b, b.text, out)
	}
	s.t.Logf("%s\n%s", b, out)
	for _, p := range programs {
		if regexp.MustCompile(`(?m)^\s*(?:\(cd \w+ && )?` + p + `\b`).MatchString(b.text) {
			s.ran[p] = true
		}
	}
}

// eval gives what the text printed, once it ended well.
func (s *site) eval(text string) (string, error) {
	defer time.AfterFunc(2*time.Minute, s.killShell).Stop()
	s.steps++
	end := fmt.Sprintf("step %d is done", s.steps)
	step := s.write(fmt.Sprintf("steps/%d.sh", s.steps), text+"\n")
	fmt.Fprintf(s.in, ". '%s' </dev/null\necho '%s'\n", step, end)
	var printed strings.Builder
	for {
		line, err := s.out.ReadString('\n')
		if before, found := strings.CutSuffix(line, end+"\n"); found {
			printed.WriteString(before)
			return printed.String(), nil
		}
		printed.WriteString(line)
		if err != nil {
			return printed.String(), errors.New("the shell ended")
		}
	}
}

// console does what a command of a console block would, as far as that is possible without root and systemd.
func (s *site) console(b fence, words []string) {
	t := s.t
	t.Helper()
	switch words[0] {
	case "make":
		s.makeTarget(b, words[1])
	case "go", "git", "sha256sum", "CGO_ENABLED=0", "CGO_ENABLED=1":
		for _, w := range words {
			if _, err := os.Stat(filepath.Join("..", w)); strings.HasPrefix(w, "./") && err != nil {
				t.Errorf("%s: %v", b, err)
			}
		}
	case "systemd-sysusers":
		readFile(t, s.path("etc/sysusers.d/countersign.conf"))
	case "systemd-tmpfiles":
		s.makePaths()
	case "chown":
		if _, err := os.Stat(s.rewrite.Replace(words[len(words)-1])); err != nil {
			t.Errorf("%s: %v", b, err)
		}
	case "runuser": // runuser -u USER -- PROGRAM ARGUMENT…
		s.ran[words[4]+" "+words[5]] = true
		s.mustRun(words[4], strings.Fields(s.rewrite.Replace(strings.Join(words[5:], " ")))...)
	case "systemctl":
		s.systemctl(b, words[1], words[2:])
	case "journalctl":
		for i, w := range words {
			if w == "-u" {
				s.unit(words[i+1])
			}
		}
	default:
		t.Errorf("%s: this test knows no %s: teach it what that does", b, words[0])
	}
}

func (s *site) makeTarget(b fence, target string) {
	if !regexp.MustCompile(`(?m)^` + target + `:`).MatchString(readFile(s.t, "../Makefile")) {
		s.t.Errorf("%s: the Makefile has no %s", b, target)
	}
}

// makePaths does what systemd-tmpfiles does with the installed file.
func (s *site) makePaths() {
	for _, f := range entries(readFile(s.t, s.path("etc/tmpfiles.d/countersign.conf"))) {
		if f[0] == "f" {
			must(s.t, os.WriteFile(f[1], nil, 0o600))
		} else {
			must(s.t, os.MkdirAll(f[1], 0o700))
		}
	}
}

func (s *site) systemctl(b fence, verb string, units []string) {
	s.t.Helper()
	units = slices.DeleteFunc(units, func(u string) bool { return strings.HasPrefix(u, "-") })
	for _, u := range units {
		switch verb {
		case "enable", "start":
			s.startUnit(u)
		case "stop":
			s.stopUnit(u)
		case "restart":
			s.stopUnit(u)
			s.startUnit(u)
		default:
			s.t.Errorf("%s: this test knows no systemctl %s", b, verb)
		}
	}
}

// stopUnit ends a unit as systemd does, and wants it to end well.
func (s *site) stopUnit(name string) {
	s.t.Helper()
	p := s.processes[name]
	if p == nil {
		s.t.Fatalf("%s does not run", name)
	}
	s.end(name, syscall.SIGTERM)
	if code := p.ProcessState.ExitCode(); code != 0 {
		s.t.Errorf("%s ended with status %d\n%s", name, code, p.output)
	}
}

func (s *site) stopAll() {
	for _, name := range slices.Collect(maps.Keys(s.processes)) {
		s.end(name, syscall.SIGTERM)
	}
}

// exampleAgent holds deploy/keyagent-a.toml to what the set-up arrived at.
func (s *site) exampleAgent() {
	s.t.Helper()
	made := agentSettings(s.t, readFile(s.t, s.path("etc/countersign/keyagent-a.toml")))
	example := agentSettings(s.t, s.rewrite.Replace(readFile(s.t, "../deploy/keyagent-a.toml")))
	if made != example {
		s.t.Errorf("deploy/keyagent-a.toml is not what the ceremony makes:\n%s\nthe ceremony's:\n%s", example, made)
	}
}

var oneToken = regexp.MustCompile(`;(serial|id)=[^;?]*`)

// agentSettings is an agent's configuration without its keys, its token's serial and its peers.
func agentSettings(t testing.TB, text string) string {
	t.Helper()
	var all struct {
		Socket   string `toml:"socket"`
		StateDir string `toml:"state_dir"`
		Log      []map[string]any
	}
	must(t, toml.Unmarshal([]byte(text), &all))
	for _, l := range all.Log {
		l["key"] = oneToken.ReplaceAllString(l["key"].(string), "")
		l["public_key"], l["log_keys"] = "", len(l["log_keys"].([]any))
	}
	return fmt.Sprint(all)
}
