package signer

// Unready says in one word why the service refuses new work, or "" if it does not: closing, frozen, stalled, clock,
// expired, or agents where too few of them work to meet the holding rule.
func (s *Service) Unready() string {
	now, problem := s.now()
	switch {
	case s.closing.Load():
		return "closing"
	case s.frozen.Load() != nil:
		return "frozen"
	case s.stalled.Load() != nil:
		return "stalled"
	case problem != nil:
		return "clock"
	case !now.Before(s.state.Load().identity().Expires):
		return "expired"
	case !s.quorum.manned():
		return "agents"
	}
	return ""
}

// manned reports whether so many agents are active that the holding rule can be met now.
func (q *quorum) manned() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	w, _ := q.rule()
	working := 0
	for _, m := range q.members {
		if m.phase == active {
			working++
		}
	}
	return working >= w
}
