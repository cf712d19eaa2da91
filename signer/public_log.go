package signer

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/ledger"
)

// The logs are served as C2SP tlog-tiles describes: <prefix> is /{registry}/logs/{log}. Full and partial tiles of one
// path never change, so both may be kept for ever. Nothing beyond the stored checkpoint is shown.

// number reads the number of a log in its one spelling.
func number(r *http.Request) (uint64, *Problem) {
	text := r.PathValue("log")
	n, err := strconv.ParseUint(text, 10, 53)
	if err != nil || strconv.FormatUint(n, 10) != text {
		return 0, newProblem(NotFound, "a log is found under its number")
	}
	return n, nil
}

func (p *publicSite) log(r *http.Request) (*ledger.Log, *Problem) {
	s, problem := p.service(r)
	if problem != nil {
		return nil, problem
	}
	n, problem := number(r)
	if problem != nil {
		return nil, problem
	}
	return s.Log(n)
}

func (p *publicSite) checkpoint(x *exchange, r *http.Request) *Problem {
	log, problem := p.log(r)
	if problem != nil {
		return problem
	}
	cp := log.Checkpoint()
	if cp.Size == 0 {
		return newProblem(NotFound, "the log has no checkpoint yet")
	}
	x.cached(r, "text/plain; charset=utf-8", seconds, cp.Note)
	return nil
}

// tile serves hash tiles, tile/<L>/<N>[.p/<W>], and entry bundles, tile/entries/<N>[.p/<W>].
func (p *publicSite) tile(x *exchange, r *http.Request) *Problem {
	log, problem := p.log(r)
	if problem != nil {
		return problem
	}
	tile, ok := parseTile(r.PathValue("tile"))
	if !ok {
		return newProblem(NotFound, "a tile's path is <L>/<N>[.p/<W>] or entries/<N>[.p/<W>]")
	}
	var data []byte
	var err error
	if tile.L == entriesLevel {
		data, err = log.EntryBundle(tile.N, tile.W)
	} else {
		data, err = log.Tile(tile)
	}
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		return newProblem(NotFound, fmt.Sprintf("the log, of size %d, does not have this tile", log.Checkpoint().Size))
	case err != nil:
		return unreadable(err)
	}
	x.cached(r, "application/octet-stream", forEver, data)
	return nil
}

const entriesLevel = -1 // as tlog.Tile counts

// parseTile reads a tlog-tiles path after "tile/". Go's checksum database, whose parser this is, writes the height before
// the level, and data for entries.
func parseTile(path string) (tlog.Tile, bool) {
	level, rest, _ := strings.Cut(path, "/")
	switch level {
	case "entries":
		level = "data"
	case "data":
		return tlog.Tile{}, false
	}
	tile, err := tlog.ParseTilePath("tile/8/" + level + "/" + rest)
	return tile, err == nil
}

// bridge proves the head of size ?from= a prefix of the head that counts.
func (p *publicSite) bridge(x *exchange, r *http.Request) *Problem {
	s, problem := p.service(r)
	if problem != nil {
		return problem
	}
	n, problem := number(r)
	if problem != nil {
		return problem
	}
	values, problem := query(r, "from")
	if problem != nil {
		return problem
	}
	from, err := strconv.ParseUint(values.Get("from"), 10, 53)
	if err != nil {
		return newProblem(Malformed, "query parameter from is the size of a head, a number")
	}
	b, problem := s.Bridge(n, from)
	if problem == nil {
		x.cached(r, jsonType, seconds, b.JSON())
	}
	return problem
}
