package signer

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// DrainAgent takes an agent out of the holding rule for maintenance, also across restarts. After an error that matches
// no unknown or diverged agent it is drained as long as the process lasts.
func (s *Service) DrainAgent(name string) error {
	s.keeping.Lock()
	defer s.keeping.Unlock()
	if err := s.quorum.drain(name); err != nil {
		return err
	}
	return s.writeDrained()
}

// ReturnAgent gives a drained, stopped or diverged agent back.
func (s *Service) ReturnAgent(name string) error {
	s.keeping.Lock()
	defer s.keeping.Unlock()
	if err := s.quorum.restore(name); err != nil {
		return err
	}
	return s.writeDrained()
}

// writeDrained makes the drain file the list of drained agents, a name on each line. s.keeping is held.
func (s *Service) writeDrained() error {
	if s.DrainFile == "" {
		return nil
	}
	text := ""
	for _, a := range s.quorum.state() {
		if a.Phase == drained.String() {
			text += a.Name + "\n"
		}
	}
	if err := writeFile(s.DrainFile, text); err != nil {
		return fmt.Errorf("done until the next start only: %w", err)
	}
	return nil
}

// readDrained drains what was drained before the restart. A name that is no agent any more is passed over.
func (s *Service) readDrained() error {
	if s.DrainFile == "" {
		return nil
	}
	text, err := os.ReadFile(s.DrainFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for name := range strings.FieldsSeq(string(text)) {
		if err := s.quorum.drain(name); err != nil {
			s.Logger.Warn("the drain file names no agent", "registry", s.Registry, "file", s.DrainFile, "name", name)
		}
	}
	return nil
}
