package ecosystem

import (
	"archive/zip"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

const (
	nugetSignature  = ".signature.p7s"
	directoryHeader = 46 // bytes of a directory entry without its texts
)

// nugetDigests returns the content hash, which packages.lock.json has in base64: SHA-512 of the package as it
// was before NuGet signed it. For a package that is not signed that is the file's own.
func nugetDigests(in *input) (map[string]string, error) {
	z, err := openZip(in, in.size)
	if err != nil {
		return nil, err
	}
	sum := sha512.New()
	if err := writeUnsigned(sum, in, z); err != nil {
		return nil, err
	}
	return map[string]string{"nugetContentHash": hex.EncodeToString(sum.Sum(nil))}, nil
}

// writeUnsigned writes the package without its signature.
func writeUnsigned(w io.Writer, in *input, z *zip.Reader) error {
	signature, err := findSignature(z)
	if err != nil {
		return err
	}
	if signature == nil {
		_, err := io.Copy(w, in.stream())
		return err
	}
	d, err := readEnd(in, in.size)
	if err != nil {
		return err
	}
	file, err := signatureHeader(in, signature, d)
	if err != nil {
		return err
	}
	entry := uint64(directoryHeader + len(signature.Name) + len(signature.Extra) + len(signature.Comment))
	end := make([]byte, endSize)
	if _, err := io.ReadFull(io.NewSectionReader(in, in.size-endSize, endSize), end); err != nil {
		return err
	}
	le := binary.LittleEndian
	le.PutUint16(end[8:], uint16(d.entries-1))
	le.PutUint16(end[10:], uint16(d.entries-1))
	le.PutUint32(end[12:], uint32(d.size-entry))
	le.PutUint32(end[16:], uint32(file))
	for _, part := range []*io.SectionReader{
		io.NewSectionReader(in, 0, file),
		io.NewSectionReader(in, int64(d.offset), int64(d.size-entry)),
	} {
		if _, err := io.Copy(w, part); err != nil {
			return err
		}
	}
	_, err = w.Write(end)
	return err
}

// findSignature returns the signature's entry; nil if there is none.
func findSignature(z *zip.Reader) (*zip.File, error) {
	for i, f := range z.File {
		switch {
		case skeleton(f.Name) != skeleton(nugetSignature):
		case f.Name != nugetSignature:
			return nil, fmt.Errorf("%q could be taken for %s", f.Name, nugetSignature)
		case i != len(z.File)-1 || f.Method != zip.Store || f.Flags != 0:
			return nil, fmt.Errorf("%s is not where or as NuGet puts it: give the package as it was before it was signed", nugetSignature)
		default:
			return f, nil
		}
	}
	return nil, nil
}

// signatureHeader returns the offset of the signature's header. Header and data must be the last before the
// directory, and plain.
func signatureHeader(in *input, signature *zip.File, d zipDirectory) (int64, error) {
	data, err := signature.DataOffset()
	if err != nil {
		return 0, err
	}
	at := data - localSize - int64(len(signature.Name))
	if _, ok := record(in, at, localSize, localMagic); !ok { // an extra field is between
		return 0, fmt.Errorf("%s has an unusual header", nugetSignature)
	}
	if uint64(data)+signature.CompressedSize64 != d.offset {
		return 0, fmt.Errorf("%s is not the last file", nugetSignature)
	}
	if d.offset+d.size != uint64(in.size-endSize) {
		return 0, errors.New("a signed package has a 64-bit end, which NuGet does not sign")
	}
	return at, nil
}
