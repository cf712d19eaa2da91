package lockfile

// Parse reads a text as if it were in a file of that name, alone.
func Parse(base string, text []byte) (*File, error) {
	s := &source{path: base, base: base}
	var err error
	if s.text, err = clean(text); err != nil {
		return nil, err
	}
	return formatOf(base).file(s)
}

// RegexBeginning is regexBeginning.
var RegexBeginning = regexBeginning
