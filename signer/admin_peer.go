package signer

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"

	"countersign.dev/agent"
)

// ListenAdmin makes the admin socket, for its owner and group to connect to. Who of them may do anything is checked with
// every request.
func ListenAdmin(path string) (net.Listener, error) {
	return agent.Listen(path, agent.DefaultSocketMode)
}

type peerKey struct{}

// withPeer notes who connected, on a unix socket.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	if uid, err := agent.PeerUID(conn); err == nil {
		return context.WithValue(ctx, peerKey{}, uid)
	}
	return ctx
}

// operators lets processes of these users through.
func operators(uids []int, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		uid, known := r.Context().Value(peerKey{}).(int)
		switch {
		case !known:
			w.(*exchange).refuse(newProblem(CallerNotAuthorized, "operators come through the admin socket"))
			return
		case !slices.Contains(uids, uid):
			w.(*exchange).refuse(newProblem(CallerNotAuthorized, fmt.Sprintf("uid %d is not an operator's: the daemon's configuration names those", uid)))
			return
		}
		next.ServeHTTP(w, r)
	})
}
