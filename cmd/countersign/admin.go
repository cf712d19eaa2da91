package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

const adminUsage = `usage: countersign admin --socket PATH state
       countersign admin --socket PATH [--registry HOST] freeze REASON
       countersign admin --socket PATH [--registry HOST] thaw
       countersign admin --socket PATH [--registry HOST] drain AGENT
       countersign admin --socket PATH [--registry HOST] return AGENT

admin is for the operators of countersignd, through its admin socket.

  state   what each registry does, and where its key agents stand
  freeze  refuse all new work, also across restarts, until thaw. Callers are
          shown the reason
  thaw    go on, and take the clock as it is now
  drain   take a key agent out for maintenance: it is no longer waited for
  return  give it back; it counts when it holds the newest head

  --socket    as in the daemon's configuration; it names who may use it
  --registry  may be left out where the daemon serves one

Worked examples:

  countersign admin --socket /run/countersign/admin.sock state
  countersign admin --socket /run/countersign/admin.sock freeze 'HSM service'
  countersign admin --socket /run/countersign/admin.sock thaw
  countersign admin --socket /run/countersign/admin.sock \
    --registry registry.example drain b
  countersign admin --socket /run/countersign/admin.sock \
    --registry registry.example return b

Exit status: 0 done, 1 not done, 2 wrong arguments.
`

// office is the daemon's admin socket.
type office struct{ client *http.Client }

func admin(args []string, t terminal) error {
	flags := newFlags("admin")
	socket, registry := flags.String("socket", "", ""), flags.String("registry", "", "")
	operands, err := parse(flags, args, "socket")
	if err != nil {
		return err
	}
	if len(operands) == 0 {
		return misused("say what to do: state, freeze, thaw, drain or return")
	}
	o := openOffice(*socket)
	if operands[0] == "state" {
		if err := none(operands[1:]); err != nil {
			return err
		}
		return o.state(*registry, t)
	}
	path, body, err := order(operands)
	if err != nil {
		return err
	}
	if *registry == "" {
		if *registry, err = o.only(); err != nil {
			return err
		}
	}
	var now registryState
	if err := o.ask(http.MethodPost, "/v1/registries/"+url.PathEscape(*registry)+path, body, &now); err != nil {
		return err
	}
	now.say(t)
	return nil
}

// order is the path below the registry, and the body, of something to do.
func order(operands []string) (path string, body any, err error) {
	name, rest := operands[0], operands[1:]
	switch name {
	case "thaw":
		return "/thaw", nil, none(rest)
	case "freeze":
		reason, err := one(rest, "reason, in quotes")
		if err == nil && strings.TrimSpace(reason) == "" {
			err = misused("the reason is empty: callers are shown it")
		}
		return "/freeze", map[string]string{"reason": reason}, err
	case "drain", "return":
		agent, err := one(rest, "agent")
		if err == nil && agent == "" {
			err = misused("the agent has no name")
		}
		return "/agents/" + url.PathEscape(agent) + "/" + name, nil, err
	}
	return "", nil, misused("%q is not state, freeze, thaw, drain or return", name)
}

func openOffice(socket string) *office {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return &office{&http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: time.Minute}}
}

// ask sends a request and decodes its answer. Nothing is sent twice: an operator sees what happened.
func (o *office) ask(method, path string, body, answer any) error {
	var content io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = strings.NewReader(string(data))
	}
	request, err := http.NewRequest(method, "http://countersignd"+path, content)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := o.client.Do(request)
	if err != nil {
		return hint(fmt.Errorf("ask countersignd: %w", errors.Unwrap(err)), "does countersignd run, is this its [admin] socket, and may you connect to it?")
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxBatch))
	if err != nil {
		return fmt.Errorf("ask countersignd: the answer broke off: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		if p := decodeProblem(data); p != nil {
			return p
		}
		return fmt.Errorf("countersignd answers %s without a reason", response.Status)
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return errors.New("the answer is not a state: is this the admin socket of countersignd?")
	}
	return nil
}

func (o *office) all() ([]registryState, error) {
	var all struct {
		Registries []registryState `json:"registries"`
	}
	err := o.ask(http.MethodGet, "/v1/state", nil, &all)
	return all.Registries, err
}

// only gives the name of the one registry that there is.
func (o *office) only() (string, error) {
	all, err := o.all()
	if err != nil {
		return "", err
	}
	if len(all) == 1 {
		return all[0].Registry, nil
	}
	var names []string
	for _, r := range all {
		names = append(names, r.Registry)
	}
	return "", hint(misused("the daemon serves %d registries", len(all)), "say which with --registry: %s", strings.Join(names, ", "))
}

func (o *office) state(registry string, t terminal) error {
	all, err := o.all()
	if err != nil {
		return err
	}
	found := false
	for _, r := range all {
		if registry != "" && r.Registry != registry {
			continue
		}
		if found {
			t.say("")
		}
		found = true
		r.say(t)
	}
	if !found {
		return fmt.Errorf("the daemon does not serve %q", registry)
	}
	return nil
}
