package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"countersign.dev/provenance"
)

// A proposal stays readable: of one place or ecosystem it has so many namespaces.
const maxProposed = 40

const proposalHead = `# Proposed by countersign pins init, which read:
%s#
# Nothing is pinned yet: a lockfile cannot say whom to trust. For each name below that is yours, ask those who run its
# registry for the fingerprint of its identity, by another way than you get the packages. Then
#
#   countersign pins add REGISTRY --from URL --namespace PATTERN
#
# shows the identity, has you compare it, and writes the pin to %s. To make this file that one, move it
# there first: pins are added at its end. With pins in place, countersign check reads the lockfiles and says what they
# have in pinned names that the registry never countersigned.
version = 1

` + firstDefault

// proposal is a pins file without a pin. It never has a fingerprint: that would be this program's guess.
func (s *survey) proposal(files []string) string {
	var b strings.Builder
	var read strings.Builder
	for _, file := range files {
		fmt.Fprintf(&read, "#   %s\n", plain(file))
	}
	fmt.Fprintf(&b, proposalHead, read.String(), pinsFile)
	private, unsaid := s.sorted()
	if len(private) > 0 {
		b.WriteString("\n# ── These did not come from their ecosystem's public registry. Somebody could publish the same names there. ──\n")
	}
	limited(private, func(k groupKey) { b.WriteString(s.block(k)) }, func(k groupKey, more int) {
		fmt.Fprintf(&b, "\n# %d more namespaces from %s: if that is a mirror of everything, pin what is yours only\n", more, plain(k.host))
	})
	if len(unsaid) > 0 {
		b.WriteString("\n# ── Of these the lockfiles do not say where they come from. Is one of them yours? ──\n#\n")
	}
	limited(unsaid, func(k groupKey) { fmt.Fprintf(&b, "#   %s  %s\n", k.pattern, s.example(k)) }, func(k groupKey, more int) {
		fmt.Fprintf(&b, "#   and %d more in %s\n", more, k.kind)
	})
	if len(s.names) > 0 {
		b.WriteString("\n# ── From the public registry. If a name of yours is among them, that is the attack: look at it at once. ──\n#\n")
	}
	for _, kind := range slices.Sorted(maps.Keys(s.names)) {
		fmt.Fprintf(&b, "#   %s: %s\n", kind, counted(len(s.names[kind]), "name"))
	}
	if s.unread > 0 {
		fmt.Fprintf(&b, "\n# %s from git or a folder, or without a name: no pin covers those.\n", counted(s.unread, "entry"))
	}
	return b.String()
}

// sorted are the namespaces by ecosystem and place, whole ones before single names; last those of which no place is known.
func (s *survey) sorted() (private, unsaid []groupKey) {
	for k := range s.groups {
		if k.host == "" {
			unsaid = append(unsaid, k)
		} else {
			private = append(private, k)
		}
	}
	order := func(a, b groupKey) int {
		return cmp.Or(strings.Compare(a.kind, b.kind), strings.Compare(a.host, b.host),
			len(b.pattern)-len(strings.TrimSuffix(b.pattern, "*"))-(len(a.pattern)-len(strings.TrimSuffix(a.pattern, "*"))), strings.Compare(a.pattern, b.pattern))
	}
	slices.SortFunc(private, order)
	slices.SortFunc(unsaid, order)
	return private, unsaid
}

// limited calls show for the first namespaces of each ecosystem and place, and rest once for how many more there are.
func limited(sorted []groupKey, show func(groupKey), rest func(groupKey, int)) {
	for len(sorted) > 0 {
		first := sorted[0]
		n := slices.IndexFunc(sorted, func(k groupKey) bool { return k.kind != first.kind || k.host != first.host })
		if n < 0 {
			n = len(sorted)
		}
		for _, k := range sorted[:min(n, maxProposed)] {
			show(k)
		}
		if n > maxProposed {
			rest(first, n-maxProposed)
		}
		sorted = sorted[n:]
	}
}

// block is a pin to be, as a comment.
func (s *survey) block(k groupKey) string {
	registry := "…"
	if provenance.CheckRegistry(k.host) == nil {
		registry = k.host
	}
	return fmt.Sprintf("\n# From %s: %s\n#\n#   countersign pins add %s --from URL --namespace %s\n#\n# [[pin]]\n# namespace = %s\n# registry  = %s # if that is what it calls itself\n# identity  = \"sha256:…\" # its fingerprint\n",
		plain(k.host), s.example(k), registry, quoted(k.pattern), tomlString(k.pattern), tomlString(registry))
}

func (s *survey) example(k groupKey) string {
	names := slices.Sorted(maps.Keys(s.groups[k]))
	if len(names) == 1 {
		return names[0]
	}
	return fmt.Sprintf("%d names, such as %s", len(names), names[0])
}
