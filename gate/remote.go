package gate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/provenance"
)

const (
	batchLines    = 1000 // packages in a request, as many as a public listener takes
	batchReleases = 50   // releases on PyPI, with all their files
	batchesAtOnce = 4
	getsAtOnce    = 16
	maxReleases   = 20 << 20 // bytes of the bundles of a release
	maxProblem    = 64 << 10
)

// Remote is a registry's public listener, or a mirror of one: the same service, or a static export of it.
type Remote struct {
	base string // without a slash at the end
	caller

	mu     sync.Mutex
	absent map[string]bool // registries that are not served there
	static bool            // it takes no batches
}

// NewRemote checks the address of a public listener or mirror.
func NewRemote(address string, client *http.Client, options Options) (*Remote, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is not the https URL of a public listener or mirror", address)
	}
	return &Remote{base: strings.TrimSuffix(address, "/"), caller: newCaller(client, options), absent: make(map[string]bool)}, nil
}

func (m *Remote) String() string { return m.base }

func (m *Remote) url(reg *Registry, path string) string { return m.base + "/" + reg.Name + path }

// Introduce fetches the identity and the newest status.
func (m *Remote) Introduce(ctx context.Context, reg *Registry) ([][]byte, error) {
	data, err := m.get(ctx, m.url(reg, "/identity"), provenance.MaxBundle)
	var no *notServed
	if errors.As(err, &no) {
		m.mu.Lock()
		m.absent[reg.Name] = true
		m.mu.Unlock()
		return nil, ErrNotServed
	}
	if err != nil {
		return nil, err
	}
	envelopes, err := provenance.ParseEnvelopes(data)
	if err != nil {
		return nil, fmt.Errorf("its identity: %v", err)
	}
	if !reg.Meet(envelopes) && reg.Chain() == nil {
		return nil, fmt.Errorf("its identity is not the pinned one, %s", reg.Identity)
	}
	status, err := m.get(ctx, m.url(reg, "/status"), provenance.MaxStatusBundle)
	if errors.As(err, &no) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return [][]byte{status}, nil
}

// Find asks in batches, several at once, or of a static export for each bundle.
func (m *Remote) Find(ctx context.Context, reg *Registry, wanted []provenance.Coordinate, give func(int, Answer)) {
	m.mu.Lock()
	absent := m.absent[reg.Name]
	m.mu.Unlock()
	if absent {
		for i := range wanted {
			give(i, Answer{Skipped: true})
		}
		return
	}
	var batches []*batch
	for i, c := range wanted {
		batches = addTo(batches, i, c)
	}
	places := make(chan struct{}, batchesAtOnce)
	var group sync.WaitGroup
	for _, b := range batches {
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			m.ask(ctx, reg, b, give)
		})
	}
	group.Wait()
}

// batch is the packages of one request that have no answer yet.
type batch struct {
	releases bool
	open     map[string]int // index by hex hash, or of a release by purl
	names    []string
	wanted   []provenance.Coordinate
}

// addTo puts a package into the last batch of its kind, or a new one.
func addTo(batches []*batch, i int, c provenance.Coordinate) []*batch {
	limit, name := batchLines, c.String()
	if c.Partial() {
		limit = batchReleases
	} else {
		key := c.Hash()
		name = hex.EncodeToString(key[:])
	}
	for _, b := range batches[max(0, len(batches)-2):] {
		if b.releases == c.Partial() && len(b.names) < limit {
			b.add(name, i, c)
			return batches
		}
	}
	b := &batch{releases: c.Partial(), open: make(map[string]int)}
	b.add(name, i, c)
	return append(batches, b)
}

func (b *batch) add(name string, i int, c provenance.Coordinate) {
	b.open[name] = i
	b.names, b.wanted = append(b.names, name), append(b.wanted, c)
}

// body asks for what has no answer yet.
func (b *batch) body() []byte {
	var names []string
	for _, n := range b.names {
		if _, open := b.open[n]; open {
			names = append(names, n)
		}
	}
	member := "coordinates"
	if b.releases {
		member = "purls"
	}
	body, _ := json.Marshal(map[string][]string{member: names})
	return body
}

// ask gives an answer for each package of a batch.
func (m *Remote) ask(ctx context.Context, reg *Registry, b *batch, give func(int, Answer)) {
	err := errStatic
	if !m.isStatic() {
		err = m.patiently(ctx, func(ctx context.Context) error { return m.post(ctx, reg, b, give) })
	}
	if errors.Is(err, errStatic) {
		m.mu.Lock()
		m.static = true
		m.mu.Unlock()
		m.askEach(ctx, reg, b, give)
		return
	}
	if err == nil && len(b.open) > 0 {
		err = errors.New("it left out lines")
	}
	for _, i := range b.open {
		give(i, Answer{Err: fmt.Errorf("%s: %w", m.base, err)})
	}
}

func (m *Remote) isStatic() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.static
}

// errStatic is that batches are not taken.
var errStatic = errors.New("it takes no batches")

// post sends a batch and reads the answer line by line.
func (m *Remote) post(ctx context.Context, reg *Registry, b *batch, give func(int, Answer)) error {
	response, err := m.do(ctx, http.MethodPost, m.url(reg, "/bundles:batch"), b.body())
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return m.failure(response, true)
	}
	lines := bufio.NewScanner(response.Body)
	limit := provenance.MaxBundle + maxProblem
	if b.releases {
		limit = maxReleases + maxProblem
	}
	lines.Buffer(nil, limit)
	for len(b.open) > 0 && lines.Scan() {
		if err := b.read(lines.Bytes(), give); err != nil {
			return err
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("a line is longer than %d bytes", limit)
	case err != nil:
		return transient{fmt.Errorf("the answer broke off: %v", err), 0}
	case len(b.open) > 0:
		return transient{fmt.Errorf("%d lines have no answer", len(b.open)), 0}
	}
	return nil
}

// batchLine is one line of an answer.
type batchLine struct {
	Coordinate string           `json:"coordinate"`
	Purl       string           `json:"purl"`
	Bundle     jsontext.Value   `json:"bundle"`
	Bundles    []jsontext.Value `json:"bundles"`
	Problem    *problem         `json:"problem"`
}

func (b *batch) read(line []byte, give func(int, Answer)) error {
	var l batchLine
	if err := json.Unmarshal(line, &l); err != nil {
		return transient{fmt.Errorf("a line is not JSON, or broke off: %v", err), 0}
	}
	name := l.Coordinate
	if b.releases {
		name = l.Purl
	}
	i, open := b.open[name]
	if !open {
		return fmt.Errorf("it answers about %.200q, which was not asked", name)
	}
	answer := Answer{}
	switch {
	case l.Problem != nil:
		var err error
		if answer, err = l.Problem.answer(); err != nil {
			return err
		}
	case b.releases:
		for _, v := range l.Bundles {
			answer.Bundles = append(answer.Bundles, bytes.Clone(v))
		}
	case l.Bundle != nil:
		answer.Bundles = [][]byte{bytes.Clone(l.Bundle)}
	default:
		return errors.New("a line has neither bundle nor problem")
	}
	delete(b.open, name)
	give(i, answer)
	return nil
}

// askEach fetches every bundle by its own path.
func (m *Remote) askEach(ctx context.Context, reg *Registry, b *batch, give func(int, Answer)) {
	places := make(chan struct{}, getsAtOnce/batchesAtOnce)
	var group sync.WaitGroup
	for n, name := range b.names {
		i, open := b.open[name]
		if !open {
			continue
		}
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			give(i, m.one(ctx, reg, name, b.wanted[n]))
		})
	}
	group.Wait()
}

func (m *Remote) one(ctx context.Context, reg *Registry, name string, c provenance.Coordinate) Answer {
	if c.Partial() {
		return Answer{Err: fmt.Errorf("%s is a static export, which cannot list the files of a release: fetch it into a folder for --bundles", m.base)}
	}
	data, err := m.get(ctx, m.url(reg, "/bundles/"+name), provenance.MaxBundle)
	var no *notServed
	var gone *withdrawn
	switch {
	case errors.As(err, &no):
		return Answer{}
	case errors.As(err, &gone):
		return Answer{Withdrawn: gone.detail}
	case err != nil:
		return Answer{Err: fmt.Errorf("%s: %w", m.base, err)}
	}
	return Answer{Bundles: [][]byte{data}}
}

// get fetches one document of at most limit bytes.
func (m *Remote) get(ctx context.Context, address string, limit int64) (data []byte, err error) {
	err = m.patiently(ctx, func(ctx context.Context) error {
		response, err := m.do(ctx, http.MethodGet, address, nil)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return m.failure(response, false)
		}
		data, err = io.ReadAll(io.LimitReader(response.Body, limit+1))
		switch {
		case err != nil:
			return transient{fmt.Errorf("the answer broke off: %v", err), 0}
		case int64(len(data)) > limit:
			return fmt.Errorf("the answer is longer than %d bytes", limit)
		}
		return nil
	})
	return data, err
}
