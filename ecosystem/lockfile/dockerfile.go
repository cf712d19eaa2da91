package lockfile

import (
	"encoding/csv"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	dockerfile = format{
		name:      "Dockerfile",
		ecosystem: "oci",
		match:     called("Dockerfile", "Containerfile", "*.[Dd]ockerfile", "*.[Cc]ontainerfile"),
		read:      readDockerfile,
	}
	// dockerfileFor are those for one purpose, Dockerfile.dev. Templates are called so as well.
	dockerfileFor = format{
		name:      "Dockerfile.*",
		ecosystem: "oci",
		match: func(base string) bool {
			return called("Dockerfile.*", "Containerfile.*")(base) && !strings.HasSuffix(base, "ignore")
		},
		named: true,
		read:  readDockerfile,
	}
)

func readDockerfile(s *source) (list, error) {
	var l list
	return l, l.addDockerfile(string(s.text), 1)
}

// addDockerfile adds the images that a Dockerfile, whose first line has the given number, builds from, copies from and
// mounts, and the one that its syntax directive has it built by. Earlier stages and scratch are no images.
//
// A variable may have another value on the command line than in the file, so a reference with one is not locked.
func (l *list) addDockerfile(text string, line int) error {
	d := dockerReader{lines: dockerLines{rest: text, line: line, escape: '\\'}, list: l, named: make(map[string]bool)}
	err := d.read()
	if err != nil {
		return fmt.Errorf("line %d: %v", d.at, err)
	}
	return nil
}

// A dockerReader reads one instruction after the other.
type dockerReader struct {
	lines  dockerLines
	list   *list
	at     int // line of the instruction
	stages int
	named  map[string]bool // the stages' names, in lower case
}

var dockerInstructions = []string{
	"ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD",
	"RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
}

func (d *dockerReader) read() error {
	syntax, at, err := d.lines.directives()
	d.at = at
	if err == nil && syntax != "" {
		err = d.image(syntax)
	}
	for err == nil {
		var text string
		text, d.at, err = d.lines.instruction()
		if err != nil || text == "" {
			break
		}
		err = d.instruction(text)
	}
	if err == nil && d.stages == 0 {
		err = errors.New("there is no FROM: not a Dockerfile")
	}
	return err
}

func (d *dockerReader) instruction(text string) error {
	name, arguments := cutWord(text)
	name = strings.ToUpper(name)
	if name == "ONBUILD" { // for who builds from this image
		name, arguments = cutWord(arguments)
		if name = strings.ToUpper(name); name == "FROM" || name == "ONBUILD" {
			return fmt.Errorf("ONBUILD %s is no instruction", name)
		}
	}
	if !slices.Contains(dockerInstructions, name) {
		return fmt.Errorf("%.40q is no instruction", name)
	}
	if name != "FROM" && name != "ARG" && d.stages == 0 {
		return fmt.Errorf("%s before the first FROM", name)
	}
	flags, arguments, err := dockerFlags(arguments)
	if err != nil {
		return err
	}
	switch name {
	case "FROM":
		return d.from(flags, strings.Fields(arguments))
	case "ADD", "COPY":
		if err := d.copyFrom(flags); err != nil {
			return err
		}
		return d.lines.heredocs(arguments)
	case "RUN":
		if err := d.mounts(flags); err != nil {
			return err
		}
		return d.lines.heredocs(arguments)
	}
	return nil
}

var stageName = regexp.MustCompile(`^[a-z][a-z0-9_.-]*$`)

// from begins a stage.
func (d *dockerReader) from(flags, words []string) error {
	for _, f := range flags {
		if !strings.HasPrefix(f, "--platform=") {
			return fmt.Errorf("FROM has the flag %.40q, which is not known here", f)
		}
	}
	if len(words) != 1 && (len(words) != 3 || !strings.EqualFold(words[1], "AS")) {
		return errors.New("want FROM image [AS name]")
	}
	if err := d.refer(words[0]); err != nil {
		return err
	}
	d.stages++
	if len(words) == 3 {
		stage := strings.ToLower(words[2])
		if !stageName.MatchString(stage) || stage == scratch {
			return fmt.Errorf("%.40q is no name of a stage", words[2])
		}
		d.named[stage] = true
	}
	return nil
}

func (d *dockerReader) copyFrom(flags []string) error {
	for _, f := range flags {
		if from, ok := strings.CutPrefix(f, "--from="); ok {
			if err := d.referStage(from); err != nil {
				return err
			}
		}
	}
	return nil
}

// mounts reads RUN --mount=type=bind,from=image,…
func (d *dockerReader) mounts(flags []string) error {
	for _, f := range flags {
		mount, ok := strings.CutPrefix(f, "--mount=")
		if !ok {
			continue
		}
		fields, err := csv.NewReader(strings.NewReader(mount)).Read()
		if err != nil {
			return fmt.Errorf("mount %.100q: %v", mount, err)
		}
		for _, field := range fields {
			key, from, _ := strings.Cut(field, "=")
			if !strings.EqualFold(strings.TrimSpace(key), "from") {
				continue
			}
			if err := d.referStage(from); err != nil {
				return err
			}
		}
	}
	return nil
}

// referStage is refer where a stage may be given by its number too.
func (d *dockerReader) referStage(name string) error {
	if n, err := strconv.Atoi(name); err == nil && 0 <= n && n < d.stages {
		return nil
	}
	return d.refer(name)
}

// refer adds what name refers to, if it is an image.
func (d *dockerReader) refer(name string) error {
	if name == scratch || d.named[strings.ToLower(name)] {
		return nil
	}
	return d.image(name)
}

func (d *dockerReader) image(reference string) error {
	e, err := image(reference, d.at)
	if err != nil {
		return err
	}
	return d.list.add(e)
}
