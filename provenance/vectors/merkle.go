package main

import "crypto/sha256"

// The trees of RFC 6962, section 2.1, written as it defines them. Hashes of leaves stand for the leaves.

func leafHash(entry []byte) []byte {
	sum := sha256.Sum256(append([]byte{0}, entry...))
	return sum[:]
}

func nodeHash(left, right []byte) []byte {
	sum := sha256.Sum256(append(append([]byte{1}, left...), right...))
	return sum[:]
}

// split is the largest power of two below n, for n > 1.
func split(n int) int {
	k := 1
	for k*2 < n {
		k *= 2
	}
	return k
}

func treeHash(leaves [][]byte) []byte {
	switch len(leaves) {
	case 0:
		sum := sha256.Sum256(nil)
		return sum[:]
	case 1:
		return leaves[0]
	}
	k := split(len(leaves))
	return nodeHash(treeHash(leaves[:k]), treeHash(leaves[k:]))
}

// inclusion is PATH(m, D[n]).
func inclusion(m int, leaves [][]byte) [][]byte {
	if len(leaves) == 1 {
		return nil
	}
	if k := split(len(leaves)); m < k {
		return append(inclusion(m, leaves[:k]), treeHash(leaves[k:]))
	} else {
		return append(inclusion(m-k, leaves[k:]), treeHash(leaves[:k]))
	}
}

// consistency is PROOF(m, D[n]).
func consistency(m int, leaves [][]byte) [][]byte { return subproof(m, leaves, true) }

func subproof(m int, leaves [][]byte, whole bool) [][]byte {
	if m == len(leaves) {
		if whole {
			return nil
		}
		return [][]byte{treeHash(leaves)}
	}
	if k := split(len(leaves)); m <= k {
		return append(subproof(m, leaves[:k], whole), treeHash(leaves[k:]))
	} else {
		return append(subproof(m-k, leaves[k:], false), treeHash(leaves[:k]))
	}
}
