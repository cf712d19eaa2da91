package lockfile

// Limits. A lockfile of ten thousand dependencies is some 5 MiB.
const (
	maxFile    = 64 << 20 // bytes of a lockfile
	maxTree    = 16 << 20 // bytes of one whose parser keeps all of it in memory: YAML, TOML
	maxNodes   = 1 << 20  // values in one of those
	maxEntries = 200_000
	maxDepth   = 64 // values inside one another
	maxFiles   = 5000
	maxInclude = 50 // files that one requirements.txt brings in

	maxFolderDepth = 12      // that Find looks into below the project's folder
	maxFolderItems = 500_000 // that Find looks at
	maxFound       = 1000    // lockfiles in one project
)
