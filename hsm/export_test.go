package hsm

import "context"

// SignPlainly signs and verifies as Sign does, with the same sessions, but in
// the caller's goroutine and without a time limit.
func (k *Key) SignPlainly(message []byte) ([]byte, error) {
	l, err := k.connection(context.Background())
	if err != nil {
		return nil, err
	}
	s, err := l.acquire(context.Background())
	if err != nil {
		return nil, err
	}
	s, signature, err := l.use(s, message)
	l.pool.put(s)
	return signature, err
}
