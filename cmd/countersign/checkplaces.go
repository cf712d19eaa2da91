package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"countersign.dev/gate"
	"countersign.dev/provenance"
)

// gate reads everything but the lockfiles that the answer depends on.
func (f *checkFlags) gate(t terminal, p *progress) (*gate.Gate, error) {
	g := &gate.Gate{StatusMaxAge: f.statusMaxAge, RefusePaths: f.refusePaths, Mode: provenance.Mode(f.mode), Now: time.Now(), Progress: p.count}
	var err error
	if f.sarif != "" && f.sarif != "-" {
		if err := absent(f.sarif); err != nil {
			return nil, err
		}
	}
	if g.Pins, err = f.readPins(); err != nil {
		return nil, err
	}
	if g.Policies, err = readPolicies(f.policies); err != nil {
		return nil, err
	}
	for _, path := range f.statuses {
		data, err := readBounded(path, provenance.MaxStatusBundle)
		if err != nil {
			return nil, err
		}
		g.Statuses = append(g.Statuses, data)
	}
	if g.Cache, err = f.openCache(); err != nil {
		t.warn("%v: nothing is kept for the next run", err)
	}
	g.Places, err = f.places(p)
	return g, err
}

func (f *checkFlags) readPins() (*provenance.Pins, error) {
	data, err := readDocument(f.pins)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hint(err, "countersign pins add REGISTRY pins a registry; --pins names another file")
	}
	if err != nil {
		return nil, err
	}
	pins, err := provenance.ParsePins(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.pins, err)
	}
	return pins, nil
}

func (f *checkFlags) openCache() (*gate.Cache, error) {
	if f.cache != "" {
		return &gate.Cache{Folder: f.cache}, nil
	}
	folder, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	return &gate.Cache{Folder: filepath.Join(folder, "countersign")}, nil
}

// places are the folders, then what is on the network.
func (f *checkFlags) places(p *progress) ([]gate.Place, error) {
	var all []gate.Place
	for _, folder := range f.bundles {
		info, err := os.Stat(folder)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			return nil, misused("--bundles %s is no folder", folder)
		}
		all = append(all, &gate.Folder{Path: folder})
	}
	for _, address := range f.from {
		if _, err := publicURL(address); err != nil {
			return nil, err
		}
		if f.offline {
			continue
		}
		m, err := gate.NewRemote(address, &http.Client{Transport: http.DefaultTransport}, gate.Options{Patience: f.timeout, Waiting: p.waiting(address)})
		if err != nil {
			return nil, misuse{err}
		}
		all = append(all, m)
	}
	return all, nil
}
