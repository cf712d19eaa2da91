package fault

// Calls is how often a function was called, by any process and with any answer.
func (m *Module) Calls(function string) int {
	m.t.Helper()
	return int(m.function(function).calls.Load())
}

// Logins is how many C_Login were good and how many were answered with an
// error of the PIN. Other answers are in neither.
func (m *Module) Logins() (good, wrong int) {
	return int(m.shared.logins.Load()), int(m.shared.wrongLogins.Load())
}

// Sessions is how many sessions are open now, and the most that one process
// has had open at once.
func (m *Module) Sessions() (now, most int) {
	now = m.shared.sum(func(p *process) uint64 {
		if p.epoch.Load() != m.shared.reboots.Load() {
			return 0
		}
		return p.sessions.Load()
	})
	return now, int(m.shared.mostSessions.Load())
}

// Signatures is how many were made, wrong ones among them.
func (m *Module) Signatures() int { return int(m.shared.signatures.Load()) }

// Corrupted is how many signatures had a bit flipped.
func (m *Module) Corrupted() int { return int(m.shared.corrupted.Load()) }

// Messages gives the last messages C_Sign was called with, oldest first, at
// most 64 of them and the first 256 bytes of each.
func (m *Module) Messages() [][]byte {
	given := m.shared.messagesGiven.Load()
	var list [][]byte
	for i := given - min(given, messages); i < given; i++ {
		message := &m.shared.messages[i%messages]
		list = append(list, append([]byte{}, message.start[:min(message.length.Load(), messageSize)]...))
	}
	return list
}
