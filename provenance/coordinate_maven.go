package provenance

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Maven. A version has many files, told apart by classifier and extension: artifact-version[-classifier].extension. The
// coordinate keeps the file's name and spells it as qualifiers; reading the qualifiers makes the file's name again. So
// "classifier=a.tar&type=gz" and "classifier=a&type=tar.gz", which are one file, have one spelling.

// mavenName takes group:artifact, or group/artifact as in a purl.
func mavenName(name string) (string, error) {
	i := strings.IndexAny(name, ":/")
	if i < 0 {
		return name, errors.New("want group:artifact")
	}
	group, artifact := name[:i], name[i+1:]
	for part := range strings.SplitSeq(group, ".") {
		if err := only(part, "-_"); err != nil {
			return name, fmt.Errorf("group: %v", err)
		}
	}
	if err := only(artifact, "-_."); err != nil {
		return name, fmt.Errorf("artifact: %v", err)
	}
	if artifact == "." || artifact == ".." {
		return name, errors.New("artifact: a dot segment")
	}
	return group + "/" + artifact, nil
}

var mavenTimestamp = regexp.MustCompile(`-[0-9]{8}\.[0-9]{6}-[0-9]+$`)

// mavenVersion keeps the string: 1.0 and 1.0.0 are two directories of a repository, whatever Maven's ordering says.
func mavenVersion(_, version string) (string, error) {
	if err := only(version, "-._+~"); err != nil {
		return version, err
	}
	upper := strings.ToUpper(version)
	switch {
	case strings.HasSuffix(upper, "SNAPSHOT") || mavenTimestamp.MatchString(version):
		return version, errors.New("a snapshot is replaced by the next; only releases have coordinates")
	case upper == "LATEST" || upper == "RELEASE":
		return version, errors.New("stands for whatever version is newest; write the version")
	case version == "." || version == "..":
		return version, errors.New("a dot segment")
	}
	return version, nil
}

// mavenFile takes the file's name, by default that of the main artifact.
func mavenFile(path, version, file string) (string, error) {
	stem := mavenStem(path, version)
	if file == "" {
		return stem + ".jar", nil
	}
	rest, ok := strings.CutPrefix(file, stem)
	if !ok || rest == "" || rest[0] != '-' && rest[0] != '.' {
		return file, fmt.Errorf("is not %s[-classifier].extension", stem)
	}
	classifier, extension := mavenSplit(rest)
	if rest[0] == '-' {
		if err := mavenClassifier(classifier); err != nil {
			return file, err
		}
	}
	return file, mavenExtension(extension)
}

func mavenStem(path, version string) string {
	return path[strings.LastIndexByte(path, '/')+1:] + "-" + version
}

// mavenSplit takes apart what follows artifact-version. A classifier may contain dots (hadoop2.7), so after one the
// extension is what follows the last dot, or the last but one for tar.gz and its like. Without one it is everything.
func mavenSplit(rest string) (classifier, extension string) {
	if rest[0] == '.' {
		return "", rest[1:]
	}
	dot := strings.LastIndexByte(rest, '.')
	if dot < 0 {
		return rest[1:], ""
	}
	if before, tar := strings.CutSuffix(rest[:dot], ".tar"); tar {
		dot = len(before)
	}
	return rest[1:dot], rest[dot+1:]
}

func mavenClassifier(s string) error {
	if strings.HasPrefix(s, ".") || strings.HasSuffix(s, ".") {
		return errors.New("classifier begins or ends with a dot")
	}
	if err := only(s, "-._+~"); err != nil {
		return fmt.Errorf("classifier: %v", err)
	}
	return nil
}

// mavenExtension wants parts that begin with a letter, so that lib-2.7.jar is not taken for a "7.jar" of version 2.
// Maven's packaging names are not extensions: those of the plug-ins and bundles that they name is jar.
func mavenExtension(s string) error {
	for part := range strings.SplitSeq(s, ".") {
		if err := only(part, ""); err != nil || !isLetter(part[0]) && part != "7z" {
			return fmt.Errorf("extension %q: want letters and digits in parts that begin with a letter", s)
		}
	}
	switch last := s[strings.LastIndexByte(s, '.')+1:]; last {
	case "asc", "md5", "sha1", "sha256", "sha512":
		return fmt.Errorf("extension %q: the signature or checksum of a file; name the file itself", s)
	case "bundle", "ejb", "javadoc":
		return fmt.Errorf("extension %q: a packaging, whose files end in .jar", s)
	}
	return nil
}

func mavenEncode(c Coordinate) (string, []string) {
	classifier, extension := mavenSplit(c.file[len(mavenStem(c.path, c.version)):])
	if extension == "jar" {
		extension = ""
	}
	return c.path, []string{classifier, extension}
}

func mavenDecode(path, version string, values []string) (name, file string, err error) {
	classifier, extension := values[0], values[1]
	if classifier == "" && extension == "" {
		return path, "", nil
	}
	if classifier != "" {
		classifier = "-" + classifier
	}
	if extension == "" {
		extension = "jar"
	}
	return path, mavenStem(path, version) + classifier + "." + extension, nil
}
