package signer_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/agent"
	"countersign.dev/provenance"
)

// tree is a log in memory.
type tree struct {
	hashes []tlog.Hash
	size   int64
}

func newTree(entries ...string) *tree {
	t := new(tree)
	for _, e := range entries {
		hashes, err := tlog.StoredHashes(t.size, []byte(e), t)
		if err != nil {
			panic(err)
		}
		t.hashes = append(t.hashes, hashes...)
		t.size++
	}
	return t
}

func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var hashes []tlog.Hash
	for _, i := range indexes {
		hashes = append(hashes, t.hashes[i])
	}
	return hashes, nil
}

func (t *tree) head() agent.Head {
	root, err := tlog.TreeHash(t.size, t)
	if err != nil {
		panic(err)
	}
	return agent.Head{Size: uint64(t.size), Root: root}
}

// proof is the consistency proof from a size, or nonsense where there is none.
func (t *tree) proof(from uint64) []tlog.Hash {
	if from > uint64(t.size) {
		return []tlog.Hash{{}}
	}
	p, err := tlog.ProveTree(t.size, int64(from), t)
	if err != nil {
		panic(err)
	}
	return p
}

// history is a log whose entries are letters: "aab" extends "aa" and forks from "aaa".
type history string

func (h history) tree() *tree { return newTree(strings.Split(string(h), "")...) }

// histories are all of a length up to max that begin with "a".
func histories(max int) []history {
	all := []history{"a"}
	for i := 0; len(all[i]) < max; i++ {
		all = append(all, all[i]+"a", all[i]+"b")
	}
	return all
}

// adversary is a hostile daemon: it asks n real guards whatever it likes, keeps what they sign, and hopes to get m
// signatures on each of two histories.
type adversary struct {
	t      *testing.T
	random *rand.Rand
	m      int
	guards []*guardAgent
	at     []history // where each guard is, by our own reckoning
	trees  map[history]*tree
	all    []history
	aims   [2]history // that exclude each other
	signed map[history][]provenance.KeySignature
	backup []byte // an earlier state of guard 0
	was    history
}

func newAdversary(t *testing.T, seed uint64, m, n int) *adversary {
	a := &adversary{t: t, random: rand.New(rand.NewPCG(seed, 0)), m: m, trees: map[history]*tree{}, all: histories(4), signed: map[history][]provenance.KeySignature{}}
	for _, h := range a.all {
		a.trees[h] = h.tree()
	}
	for !excludes(a.aims[0], a.aims[1]) {
		a.aims = [2]history{a.anything(), a.anything()}
	}
	log := agent.Log{Origin: registry + "/countersign/1", Threshold: m}
	for i := range n {
		log.Keys = append(log.Keys, public(t, key(fmt.Sprint("guard ", i))).Ed25519())
	}
	for i := range n {
		g := &guardAgent{key: key(fmt.Sprint("guard ", i)), dir: t.TempDir(), log: log}
		must(t, os.Chmod(g.dir, 0o700))
		must(t, agent.CreateState(g.dir, log.Origin, a.trees["a"].head()))
		g.open(t)
		t.Cleanup(func() { g.state.Close() })
		a.guards, a.at = append(a.guards, g), append(a.at, "a")
	}
	a.save()
	return a
}

// sign asks a guard for a history, with a proof that is right if there can be one.
func (a *adversary) sign(i int, h history) {
	head := a.trees[h].head()
	sig, err := a.guards[i].Guard.Sign(a.t.Context(), head.Size, head.Root, a.proof(i, h))
	a.judge(i, h, "sign", err, strings.HasPrefix(string(h), string(a.at[i])))
	if err == nil {
		s := provenance.KeySignature{Key: public(a.t, a.guards[i].key), Signature: sig[:]}
		if !slices.ContainsFunc(a.signed[h], func(o provenance.KeySignature) bool { return o.Key == s.Key }) {
			a.signed[h] = append(a.signed[h], s)
		}
	}
}

// record shows a guard a checkpoint with the signatures that there are, of which one may be there twice or forged.
func (a *adversary) record(i int, h history) {
	signatures := slices.Clone(a.signed[h])
	forged := a.random.IntN(4) == 0
	if forged && len(signatures) > 0 {
		signatures = append(signatures, signatures[0])
	} else if forged {
		signatures = append(signatures, provenance.KeySignature{Key: public(a.t, a.guards[0].key), Signature: make([]byte, 64)})
	}
	head := a.trees[h].head()
	note := provenance.SignedNote(provenance.Head{Origin: a.guards[i].log.Origin, Size: head.Size, Root: head.Root}, signatures)
	_, err := a.guards[i].Guard.Record(a.t.Context(), []byte(note), a.proof(i, h))
	a.judge(i, h, "record", err, !forged && len(signatures) >= a.m && strings.HasPrefix(string(h), string(a.at[i])))
}

func (a *adversary) proof(i int, h history) []tlog.Hash {
	if a.random.IntN(8) == 0 {
		return a.trees[a.pick()].proof(uint64(1 + a.random.IntN(4)))
	}
	return a.trees[h].proof(uint64(len(a.at[i])))
}

// judge holds a guard's answer to the rule: it accepts nothing but extensions of where it is.
func (a *adversary) judge(i int, h history, op string, err error, may bool) {
	a.t.Helper()
	if err == nil && !may {
		a.t.Fatalf("guard %d, at %s, accepted to %s %s", i, a.at[i], op, h)
	}
	if err == nil {
		a.at[i] = h
	}
	if mark := a.guards[i].Guard.Watermark(); mark != a.trees[a.at[i]].head() {
		a.t.Fatalf("guard %d is at size %d, expected at %s", i, mark.Size, a.at[i])
	}
}

func (a *adversary) anything() history { return a.all[a.random.IntN(len(a.all))] }

// pick is one of the two aims, more often than not.
func (a *adversary) pick() history {
	if a.random.IntN(4) == 0 {
		return a.anything()
	}
	return a.aims[a.random.IntN(2)]
}

// excludes reports whether no history can extend both.
func excludes(h, k history) bool {
	return !strings.HasPrefix(string(h), string(k)) && !strings.HasPrefix(string(k), string(h))
}

// save keeps a copy of guard 0's state directory, rollBack starts the guard from it.
func (a *adversary) save() {
	var err error
	a.backup, err = os.ReadFile(agent.StatePath(a.guards[0].dir, a.guards[0].log.Origin))
	must(a.t, err)
	a.was = a.at[0]
}

func (a *adversary) rollBack() {
	g := a.guards[0]
	must(a.t, g.state.Close())
	must(a.t, os.WriteFile(agent.StatePath(g.dir, g.log.Origin), a.backup, 0o600))
	g.open(a.t)
	a.at[0] = a.was
}

// forked reports whether two histories that exclude each other have m signatures.
func (a *adversary) forked() bool {
	for h, sh := range a.signed {
		for k, sk := range a.signed {
			if len(sh) >= a.m && len(sk) >= a.m && excludes(h, k) {
				return true
			}
		}
	}
	return false
}

// attack lets the adversary act at random.
func (a *adversary) attack(steps int, rollback bool) bool {
	for range steps {
		i := a.random.IntN(len(a.guards))
		switch n := a.random.IntN(10); {
		case n < 7:
			a.sign(i, a.pick())
		case n < 9:
			a.record(i, a.pick())
		case !rollback:
		case a.random.IntN(4) == 0:
			a.save()
		default:
			a.rollBack()
		}
		if a.forked() {
			return true
		}
	}
	return false
}

// Whoever controls the daemon, and asks the guards for anything in any order, gets no two acceptable heads where m is over
// half of n; where it is not, it does, which is what the ceremony warns of. An agent whose state directory is restored
// from a copy is as good as a dishonest one: 2m-n must then be over 1.
func TestInvariant3_HostileDaemon(t *testing.T) {
	for _, tt := range []struct {
		m, n     int
		rollback bool
		forks    bool
	}{
		{1, 1, false, false},
		{2, 3, false, false},
		{3, 5, false, false},
		{2, 2, false, false},
		{3, 4, true, false},
		{2, 2, true, false},
		{1, 2, false, true},
		{2, 4, false, true},
		{2, 3, true, true},
		{1, 1, true, true},
	} {
		t.Run(fmt.Sprintf("%d of %d, rollback %t", tt.m, tt.n, tt.rollback), func(t *testing.T) {
			t.Parallel()
			forks := 0
			for seed := range uint64(25) {
				if newAdversary(t, seed, tt.m, tt.n).attack(60, tt.rollback) {
					forks++
				}
			}
			if (forks > 0) != tt.forks {
				t.Fatalf("%d forks", forks)
			}
		})
	}
}
