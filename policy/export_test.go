package policy

import "slices"

// Variables are the names that expressions know.
func Variables() []string {
	language, err := newLanguage()
	if err != nil {
		panic(err)
	}
	var names []string
	for _, v := range language.Variables() {
		if name := v.Name(); !slices.Contains([]string{"bool", "bytes", "double", "dyn", "int", "list", "map", "null_type", "string", "type", "uint"}, name) &&
			name[0] != 'g' {
			names = append(names, name)
		}
	}
	return names
}
