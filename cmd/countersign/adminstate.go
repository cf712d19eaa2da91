package main

import "cmp"

// registryState is what countersignd says of a registry. Members that are not known here are skipped.
type registryState struct {
	Registry   string       `json:"registry"`
	Identity   string       `json:"identity"`
	Version    uint64       `json:"identityVersion"`
	Expires    string       `json:"identityExpires"`
	Origin     string       `json:"origin"`
	Size       uint64       `json:"size"`
	Checkpoint uint64       `json:"checkpoint"`
	Queue      int          `json:"queue"`
	Frozen     string       `json:"frozen"`
	Stalled    string       `json:"stalled"`
	Threshold  int          `json:"threshold"`
	Agents     []agentState `json:"agents"`
	LastStatus struct {
		At     string `json:"at"`
		Origin string `json:"origin"`
		Size   uint64 `json:"size"`
	} `json:"lastStatus"`
	Counts struct {
		Entries     uint64 `json:"entries"`
		Checkpoints uint64 `json:"checkpoints"`
		Repeated    uint64 `json:"repeated"`
	} `json:"counts"`
}

type agentState struct {
	Name      string `json:"name"`
	Key       string `json:"key"`
	Phase     string `json:"phase"`
	Watermark uint64 `json:"watermark"`
	Failure   string `json:"failure"`
}

func (r *registryState) say(t terminal) {
	t.field("registry", "%s", r.Registry)
	switch {
	case r.Frozen != "":
		t.field("state", "FROZEN: %s", r.Frozen)
	case r.Stalled != "":
		t.field("state", "STALLED: %s", r.Stalled)
	default:
		t.field("state", "serving")
	}
	t.field("identity", "%s version %d, until %s", r.Identity, r.Version, r.Expires)
	t.field("log", "%s, %d entries, %d under the checkpoint, %d in the queue", r.Origin, r.Size, r.Checkpoint, r.Queue)
	t.field("since start", "%d entries under %d checkpoints, %d repeated", r.Counts.Entries, r.Counts.Checkpoints, r.Counts.Repeated)
	if last := r.LastStatus; last.At != "" {
		t.field("last status", "%s, of the first %d entries of %s", last.At, last.Size, last.Origin)
	}
	t.field("agents", "%d of %d sign each head", r.Threshold, len(r.Agents))
	for _, a := range r.Agents {
		t.field("  "+a.Name, "%s, at %d, %s", cmp.Or(a.Phase, "unknown"), a.Watermark, a.Key)
		if a.Failure != "" {
			t.field("", "%s", a.Failure)
		}
	}
}
