package lockfile

// ParseGo reads the texts of a go.mod and a go.sum.
func ParseGo(mod, sum []byte) (*File, error) {
	l, err := readGoBuild(mod, sum)
	if err == nil {
		err = l.settle("golang")
	}
	return &File{Format: "go.mod", Ecosystem: "golang", Entries: l.entries}, err
}
