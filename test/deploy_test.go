package test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign.dev/provenance"
)

// unit is a systemd unit with its drop-ins: the values of each setting, in order.
type unit map[string][]string

func (u unit) one(t testing.TB, setting string) string {
	t.Helper()
	if len(u[setting]) != 1 {
		t.Fatalf("%s has the values %q, want one", setting, u[setting])
	}
	return u[setting][0]
}

// parseUnit reads what our units use of the format: sections, settings, comments.
func parseUnit(t testing.TB, text string) unit {
	t.Helper()
	u, section := unit{}, ""
	for i, line := range strings.Split(text, "\n") {
		name, value, setting := strings.Cut(line, "=")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]"):
			section = line
		case !setting || section == "" || strings.TrimSpace(name) != name || strings.TrimSpace(value) != value:
			t.Fatalf("line %d of a unit: %q is not a plain setting", i+1, line)
		default:
			u[section+name] = append(u[section+name], value)
		}
	}
	return u
}

// known are the settings that were looked up in systemd 252's manual; another is a typing error until it was.
var known = map[string][]string{
	"[Unit]":    strings.Fields("Description Wants After Before StartLimitIntervalSec"),
	"[Install]": strings.Fields("WantedBy"),
	"[Service]": strings.Fields(`Type User ExecStart LoadCredential LoadCredentialEncrypted ReadWritePaths UMask Restart RestartSec RestartPreventExitStatus TimeoutStopSec
		LimitNOFILE LimitCORE Environment NoNewPrivileges CapabilityBoundingSet AmbientCapabilities ProtectSystem ProtectHome PrivateTmp PrivateDevices PrivateNetwork
		DevicePolicy DeviceAllow SupplementaryGroups IPAddressDeny IPAddressAllow ProtectProc ProcSubset ProtectClock ProtectControlGroups ProtectHostname ProtectKernelLogs
		ProtectKernelModules ProtectKernelTunables RestrictAddressFamilies RestrictNamespaces RestrictRealtime RestrictSUIDSGID LockPersonality MemoryDenyWriteExecute
		RemoveIPC KeyringMode SystemCallArchitectures SystemCallFilter LimitMEMLOCK MemorySwapMax`),
}

func checkSettings(t testing.TB, where string, u unit) {
	t.Helper()
	if len(u) == 0 {
		t.Errorf("%s: no settings", where)
	}
	for setting := range u {
		section, name, _ := strings.Cut(setting, "]")
		if !slices.Contains(known[section+"]"], name) {
			t.Errorf("%s: unknown setting %s", where, setting)
		}
	}
}

// hardened must stand in both units.
const hardened = `NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
DevicePolicy=closed
ProtectProc=invisible
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
LimitCORE=0
UMask=0077
Type=notify
Restart=on-failure
`

// The units keep the daemon and the agents apart from each other, from the rest, and the agents from the network.
func TestUnits(t *testing.T) {
	for file, lines := range map[string]string{
		"countersignd.service": hardened + `User=countersignd
LoadCredential=tls.key:/etc/countersign/tls.key
ReadWritePaths=/var/lib/countersign /run/countersign
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
`,
		"keyagent@.service": hardened + `User=keyagent-%i
LoadCredential=pin:/etc/countersign/%i.pin
ReadWritePaths=/var/lib/keyagent-%i /run/countersign
PrivateNetwork=yes
IPAddressDeny=any
RestrictAddressFamilies=AF_UNIX
RestartPreventExitStatus=78
`} {
		u := parseUnit(t, readFile(t, "../deploy/"+file))
		checkSettings(t, file, u)
		for line := range strings.Lines(lines) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			if !slices.Contains(u["[Service]"+name], value) {
				t.Errorf("%s: %s=%s is missing, %s is %q", file, name, value, name, u["[Service]"+name])
			}
		}
		program := strings.Fields(u.one(t, "[Service]ExecStart"))[0]
		if _, err := os.Stat(filepath.Join("../cmd", filepath.Base(program))); err != nil {
			t.Errorf("%s starts %s: %v", file, program, err)
		}
	}
	for _, drop := range []string{"softhsm.conf", "keyagent-tpm.conf"} {
		checkSettings(t, drop, parseUnit(t, readFile(t, "../deploy/"+drop)))
	}
}

// entries are the lines of a sysusers.d or tmpfiles.d file, in words.
func entries(text string) (all [][]string) {
	quoted := regexp.MustCompile(`"[^"]*"`)
	for line := range strings.Lines(text) {
		if words := strings.Fields(quoted.ReplaceAllString(line, "-")); len(words) > 0 && words[0] != "#" {
			all = append(all, words)
		}
	}
	return all
}

// Whoever a unit or a directory belongs to is made; agents and daemon share a group and nothing else.
func TestUsers(t *testing.T) {
	made, members := map[string]bool{"root": true}, map[string]bool{}
	for _, e := range entries(readFile(t, "../deploy/sysusers.conf")) {
		switch e[0] {
		case "u", "g":
			made[e[1]] = true
		case "m":
			members[e[1]] = e[2] == "countersign"
		default:
			t.Errorf("sysusers.conf: %q", e)
		}
	}
	paths := make(map[string]string)
	for _, e := range entries(readFile(t, "../deploy/tmpfiles.conf")) {
		if !made[e[3]] || !made[e[4]] {
			t.Errorf("tmpfiles.conf: the user or group of %q is not made", e)
		}
		paths[e[1]] = e[0] + " " + e[2] + " " + e[3] + " " + e[4]
	}
	want := map[string]string{"/etc/countersign": "d 0755 root root", "/run/countersign": "d 3770 root countersign", "/var/lib/countersign": "d 0700 countersignd countersignd"}
	for _, a := range []string{"a", "b", "c"} {
		want["/var/lib/keyagent-"+a] = "d 0710 root keyagent-" + a
		want["/var/lib/keyagent-"+a+"/pin-refused"] = "f 0600 keyagent-" + a + " keyagent-" + a
		if !made["keyagent-"+a] || !members["keyagent-"+a] {
			t.Errorf("keyagent-%s is not made, or may not come near the sockets", a)
		}
	}
	if !made["countersignd"] || !members["countersignd"] || fmt.Sprint(paths) != fmt.Sprint(want) {
		t.Errorf("tmpfiles.conf has %v, want %v", paths, want)
	}
}

// systemd's own opinion, where there is systemd: units that it reads without a word, and finds well kept in.
func TestSystemd(t *testing.T) {
	version, err := exec.Command("systemd-analyze", "--version").Output()
	var number int
	if _, scan := fmt.Sscanf(string(version), "systemd %d", &number); err != nil || scan != nil || number < 252 {
		t.Logf("no systemd 252 or newer here: %q, %v. TestUnits has looked at the units", version, err)
		return
	}
	dir := t.TempDir()
	for from, to := range map[string]string{"countersignd.service": "countersignd.service", "keyagent@.service": "keyagent@a.service"} {
		path := filepath.Join(dir, to)
		must(t, os.WriteFile(path, []byte(strings.ReplaceAll(readFile(t, "../deploy/"+from), "/usr/local/bin", bin)), 0o644))
		out, _ := exec.Command("systemd-analyze", "verify", "--man=no", path).CombinedOutput()
		if strings.Contains(string(out), to) {
			t.Errorf("systemd-analyze verify: %s", out)
		}
		out, err := exec.Command("systemd-analyze", "security", "--no-pager", "--offline=yes", "--threshold=20", path).CombinedOutput()
		if err != nil && strings.Contains(string(out), "Overall exposure level") {
			t.Errorf("systemd-analyze security: %v\n%s", err, out)
		}
	}
}

// The programs read the examples. deploy/ceremony.toml is carried out by TestDocumentation.
func TestExampleConfigurations(t *testing.T) {
	a := &appliance{t: t, dir: t.TempDir()}
	me, err := user.Current()
	must(t, err)
	a.mustRun("countersignd", "check", "--config", "../deploy/countersignd.toml")
	agent := readFile(t, "../deploy/keyagent-a.toml")
	if !strings.Contains(agent, `allow_users = ["countersignd"]`) {
		t.Error("deploy/keyagent-a.toml does not answer countersignd")
	}
	a.mustRun("keyagent", "check", "--config", a.write("keyagent-a.toml", strings.Replace(agent, `"countersignd"`, fmt.Sprintf("%q", me.Username), 1)))
	_, err = provenance.ParsePins([]byte(readFile(t, "../deploy/pins.toml")))
	must(t, err)
}

// unit finds an installed unit, an instance by its template, with its drop-ins.
func (s *site) unit(name string) unit {
	s.t.Helper()
	name = strings.TrimSuffix(name, ".service")
	kind, instance, template := strings.Cut(name, "@")
	if template {
		kind += "@"
	}
	path := s.path("etc/systemd/system", kind+".service")
	drops, err := filepath.Glob(path + ".d/*.conf")
	must(s.t, err)
	text := ""
	for _, file := range append([]string{path}, drops...) {
		text += readFile(s.t, file) + "\n"
	}
	return parseUnit(s.t, strings.ReplaceAll(text, "%i", instance))
}

// startUnit starts what a unit says, with the environment and the credentials that it says and nothing else, and waits
// until it reports to be ready.
func (s *site) startUnit(name string) {
	t := s.t
	t.Helper()
	u := s.unit(name)
	credentials := s.path("run/credentials", name)
	must(t, os.MkdirAll(credentials, 0o700))
	for _, c := range u["[Service]LoadCredential"] {
		id, path, _ := strings.Cut(c, ":")
		must(t, os.WriteFile(filepath.Join(credentials, id), []byte(readFile(t, path)), 0o600))
	}
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: s.path("run", name+".notify"), Net: "unixgram"})
	must(t, err)
	defer os.Remove(s.path("run", name+".notify"))
	defer notify.Close()
	words := strings.Fields(u.one(t, "[Service]ExecStart"))
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Env = append([]string{"CREDENTIALS_DIRECTORY=" + credentials, "NOTIFY_SOCKET=" + s.path("run", name+".notify")}, u["[Service]Environment"]...)
	p := s.start(name, cmd)
	ready := make(chan string, 1)
	must(t, notify.SetReadDeadline(time.Now().Add(30*time.Second)))
	go func() {
		word := make([]byte, 4096)
		n, _ := notify.Read(word)
		ready <- string(word[:n])
	}()
	said := ""
	s.waitFor(p, func() bool {
		select {
		case said = <-ready:
			return true
		default:
			return false
		}
	})
	if said != "READY=1" {
		t.Fatalf("%s says %q, want READY=1", name, said)
	}
}
