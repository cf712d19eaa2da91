package test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"countersign.dev/agent"
)

// The daemon runs under another uid than the agent: an agent refuses to be set up for its own, and to be asked by any that
// was not named, root included. demo_own_uid is the one exception.
func TestInvariant8_OwnUIDRefused(t *testing.T) {
	a := unused(t, 1, "a")
	config, demo := "out/keyagent-a.toml", "demo_own_uid = true\n"
	original := a.read(config)
	if !strings.Contains(original, demo) {
		t.Fatalf("the demo's configuration does not say so:\n%s", original)
	}
	for _, tt := range []struct{ allow, says string }{
		{fmt.Sprintf("allow_uids = [%d]\n", os.Getuid()), "is the agent's own"},
		{"", "nobody may ask this agent"},
	} {
		a.write(config, strings.Replace(original, demo, "allow_root = true\n"+tt.allow, 1))
		a.refuses(tt.says, "keyagent", "--config", a.path(config))
	}
	a.write(config, strings.Replace(original, demo, fmt.Sprintf("allow_root = true\nallow_uids = [%d]\n", os.Getuid()+1), 1))
	a.startAgent("a")
	defer a.stop()
	client := agent.Dial(a.path("a.sock"))
	defer client.Close()
	if _, err := client.Watermark(t.Context(), origin); err == nil || !strings.Contains(err.Error(), "may not ask") {
		t.Errorf("the agent's own uid was answered: %v", err)
	}
}

// What the daemon's process has mapped and opened: no PKCS#11 module, no token, no PIN file. The agents' have.
func TestInvariant8_DaemonHoldsNothing(t *testing.T) {
	a := newAppliance(t, 2, "a", "b", "c")
	a.published("1.0.0")
	secret := regexp.MustCompile(`softhsm|` + regexp.QuoteMeta(a.path("tokens")) + `|` + regexp.QuoteMeta(a.path("pins")))
	held := func(name string) string {
		maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", a.processes[name].Process.Pid))
		must(t, err)
		files, err := exec.Command("ls", "-l", fmt.Sprintf("/proc/%d/fd", a.processes[name].Process.Pid)).Output()
		must(t, err)
		return secret.FindString(string(maps) + string(files))
	}
	if found := held("daemon"); found != "" {
		t.Errorf("the daemon holds %s", found)
	}
	if held("a") == "" {
		t.Error("the agent holds nothing: the search finds nothing where there is something")
	}
	for _, name := range a.agents {
		pin := strings.TrimSpace(a.read("pins/log-" + name + ".pin"))
		for _, file := range []string{"cmdline", "environ"} {
			data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", a.processes[name].Process.Pid, file))
			must(t, err)
			if strings.Contains(string(data), pin) {
				t.Errorf("the PIN is in the %s of agent %s", file, name)
			}
		}
	}
	for _, p := range a.processes {
		p.Process.Signal(syscall.SIGTERM)
		<-p.done
		for _, name := range a.agents {
			if strings.Contains(p.output.String(), strings.TrimSpace(a.read("pins/log-"+name+".pin"))) {
				t.Errorf("%s printed a PIN", p.Path)
			}
		}
	}
}
