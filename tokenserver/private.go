package tokenserver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// As ssh does it with its keys: a file belongs to the user of this program or to
// root, and nobody else can write or replace it.

// privateDir makes a directory if there is none, and checks it.
func privateDir(dir string, mode fs.FileMode) error {
	if err := os.Mkdir(dir, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return checkDir(dir)
}

// checkDir refuses a directory in which other users can make or replace files.
func checkDir(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	return checkAccess(dir, info, 0o022)
}

// checkAccess refuses what belongs to another user, or has a bit of mode that it must
// not have. Windows has neither.
func checkAccess(name string, info fs.FileInfo, mustNotHave fs.FileMode) error {
	owner, known := ownerOf(info)
	if !known {
		return nil
	}
	if own := os.Geteuid(); owner != own && owner != 0 {
		return fmt.Errorf("%s belongs to the user with ID %d, and this program runs as %d; it has to belong to that one or to root", name, owner, own)
	}
	if mode := info.Mode().Perm(); mode&mustNotHave != 0 {
		return fmt.Errorf("%s has mode %04o, which lets other users in; take away %04o", name, mode, mode&mustNotHave)
	}
	return nil
}
