package signer

import "net/http"

// health says that the process answers.
func (p *publicSite) health(x *exchange, _ *http.Request) *Problem {
	x.answer(http.StatusOK, "text/plain; charset=utf-8", []byte("ok\n"))
	return nil
}

// ready says for each registry whether it countersigns. Why not, in full, is for the operator: see the admin listener.
func (p *publicSite) ready(x *exchange, _ *http.Request) *Problem {
	status, all := http.StatusOK, make(map[string]string)
	for _, s := range p.order {
		all[s.Registry] = "ready"
		if why := s.Unready(); why != "" {
			status, all[s.Registry] = http.StatusServiceUnavailable, why
		}
	}
	x.answer(status, jsonType, encode(map[string]any{"registries": all}))
	return nil
}
