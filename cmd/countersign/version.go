package main

import (
	"cmp"
	"runtime"
	"runtime/debug"
)

const versionUsage = `usage: countersign version

version prints which build of this program it is: its version, the commit it
was built from, and the Go release that built it.

  countersign version
`

func version(args []string, t terminal) error {
	operands, err := parse(newFlags("version"), args)
	if err != nil {
		return err
	}
	if err := none(operands); err != nil {
		return err
	}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		build = new(debug.BuildInfo)
	}
	settings := make(map[string]string)
	for _, s := range build.Settings {
		settings[s.Key] = s.Value
	}
	commit := cmp.Or(settings["vcs.revision"], "unknown")
	if settings["vcs.modified"] == "true" {
		commit += ", modified"
	}
	t.say("countersign %s, commit %s, %s %s/%s", cmp.Or(build.Main.Version, "unknown"), commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
