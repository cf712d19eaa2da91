package agent_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"countersign.dev/agent"
)

// TestMain lets the test binary play another process.
func TestMain(m *testing.M) {
	roles := map[string]func(args []string) error{
		"open-state": roleOpenState,
		"serve":      roleServe,
		"ask":        roleAsk,
	}
	role := os.Getenv("AGENT_TEST_ROLE")
	if role == "" {
		os.Exit(m.Run())
	}
	if err := roles[role](os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func roleOpenState(args []string) error {
	_, err := agent.OpenState(args[0], origin)
	return err
}

// roleServe is an agent: state directory, socket.
func roleServe(args []string) error {
	state, err := agent.OpenState(args[0], origin)
	if err != nil {
		return err
	}
	guard, err := agent.NewGuard(testLog(3, 2), testKey(1), state)
	if err != nil {
		return err
	}
	server, err := agent.NewServer(agent.Config{Guards: []*agent.Guard{guard}, AllowOwnUID: true})
	if err != nil {
		return err
	}
	l, err := agent.Listen(args[1], 0o600)
	if err != nil {
		return err
	}
	return server.Serve(l)
}

// roleAsk prints what the agent at a socket says about its watermark.
func roleAsk(args []string) error {
	head, err := agent.Dial(args[0]).Watermark(context.Background(), origin)
	fmt.Println(head.Size, err)
	return nil
}
